"""Numbers that decode slowly: counted exactly where there could be many, and never confused with texts."""

import pytest

from shared.http.numbers import MOST, too_many_huge

MANY = MOST + 1


@pytest.mark.parametrize(
    "number",
    ["1e308", "1E+308", "-9e-300", "5e-324", "0.001e300", "123456789e291", "1e0300", "2e200"],
)
def test_many_huge_numbers_are_too_many(number: str) -> None:
    for separator in (",", " , ", ",\n"):
        assert too_many_huge(f"[{separator.join([number] * MANY)}]".encode())
        assert not too_many_huge(f"[{separator.join([number] * MOST)}]".encode())
    assert too_many_huge(("{" + ",".join(f'"k{n}":{number}' for n in range(MANY)) + "}").encode())


@pytest.mark.parametrize(
    "text", ['"1e308"', '"9e234f00-2e30"', "1e30", "1.5e-19", '"purchase-2e2"', "3000000", '"e200"']
)
def test_what_is_no_huge_number_is_none(text: str) -> None:
    assert not too_many_huge(f"[{','.join([text] * 5_000)}]".encode())
