"""Ids in the order of time: bounds of days, what ids span, where ranges are cut."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.db.days import MOST_RANGES, bound, day_of, days_in_a_range, next_cut, span
from tests.support import id_of

DAY = date(2026, 3, 1)
days = st.dates(date(1975, 1, 1), date(2200, 1, 1))


@given(days)
def test_a_day_holds_its_ids_and_no_other(day: date) -> None:
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    last = start + timedelta(days=1) - timedelta(milliseconds=1)
    assert bound(day) <= id_of(start)
    assert id_of(last) < bound(day + timedelta(days=1))
    assert id_of(start - timedelta(milliseconds=1)) < bound(day)
    assert day_of(id_of(last)) == day_of(bound(day)) == day


def test_a_bound_has_the_shape_of_an_id() -> None:
    """So that no collation orders them by anything but their digits."""
    for part, other in zip(bound(DAY).split("-"), id_of(datetime.now(UTC)).split("-"), strict=True):
        assert len(part) == len(other)


@given(st.lists(st.integers(0, 7_000_000_000_000), min_size=1))
def test_a_span_holds_all_ids_and_what_is_made_of_them(times: list[int]) -> None:
    ids = [id_of(datetime.fromtimestamp(milliseconds / 1_000, UTC)) for milliseconds in times]
    ids += [f"{id}-2" for id in ids] + [f"{id}-2.crm" for id in ids]
    found = span(ids)
    assert found is not None
    first, end = found
    assert all(first <= id < end for id in ids)


def test_ids_that_do_not_say_their_time_have_no_span() -> None:
    assert span([id_of(datetime.now(UTC)), "d1"]) is None
    assert span(["0198C0DE-0000-7000-8000-000000000000"]) is None


@pytest.mark.parametrize(("kept", "days"), [(1, 1), (30, 1), (31, 2), (90, 3), (400, 14), (0, 28)])
def test_what_is_kept_for_long_is_cut_into_longer_ranges(kept: int, days: int) -> None:
    assert days_in_a_range(kept) == days
    assert kept / days_in_a_range(kept) <= MOST_RANGES


@given(days, st.integers(1, 60))
def test_all_who_cut_cut_at_the_same_days(first: date, days: int) -> None:
    end = next_cut(first, days)
    assert first < end <= first + timedelta(days=days)
    assert (end - date(1970, 1, 1)).days % days == 0
    assert all(next_cut(first + timedelta(days=n), days) == end for n in range((end - first).days))
