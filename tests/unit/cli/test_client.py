"""A problem as the command line says it."""

import httpx
import pytest

from services.cli.client import ApiError, answer

ONE = {"at": "remove[0]", "message": "'x' is not kept apart", "expected": "one of: org"}
TWO = {"at": "name", "message": "Field required"}


@pytest.mark.parametrize(
    ("problem", "said"),
    [
        (
            {"detail": "remove[0]: 'x' is not kept apart", "errors": [ONE]},
            "remove[0]: 'x' is not kept apart (expected one of: org)",
        ),
        (
            {"detail": "remove[0]: 'x' is not kept apart (and 1 more)", "errors": [ONE, TWO]},
            "remove[0]: 'x' is not kept apart (and 1 more)\n"
            "  remove[0]: 'x' is not kept apart (expected one of: org)\n"
            "  name: Field required",
        ),
        ({"detail": "There is no survey 'x'."}, "There is no survey 'x'."),
        ({}, "the system answered 422"),
        ([1], "the system answered 422"),
    ],
)
def test_one_thing_that_is_wrong_is_said_once_and_several_are_listed(
    problem: object, said: str
) -> None:
    with pytest.raises(ApiError) as caught:
        answer(httpx.Response(422, json=problem))
    assert str(caught.value) == said
