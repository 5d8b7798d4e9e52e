"""Every instrument says what it is: one name, a unit, a sentence, and labels of which there are few."""

import re

import pytest

from services.cli.registry import Instrument, instruments, metrics_page

UNITS = {"seconds", "bytes", "records", "rows", "partitions", "connections"}
LABELS = {
    "service", "topic", "method", "route", "status", "reason", "door", "answer", "outcome",
    "state", "type", "step", "work", "data", "of",
}  # fmt: skip
"""What labels may hold: each is one of a few values that the code knows; never a workspace, an id, a client's words."""


@pytest.mark.parametrize("one", instruments(), ids=lambda one: one.name)
def test_an_instrument_says_what_it_is(one: Instrument) -> None:
    unit = "total" if one.type == "counter" else next(iter(UNITS & {one.name.split("_")[-1]}), None)
    assert unit is not None, "the name ends with its unit"
    assert re.fullmatch(rf"afterword(_[a-z]+)+_{unit}", one.name)
    assert re.fullmatch(r"[A-Z][^|\n]+\.", one.about), "a sentence that fits a table"
    assert set(one.labels) <= LABELS


def test_each_is_declared_once() -> None:
    names = [name for one in instruments() for name in one.series()]
    assert len(names) == len(set(names))


def test_the_page_has_them_all() -> None:
    page = metrics_page()
    assert all(f"| `{one.name}` |" in page for one in instruments())
