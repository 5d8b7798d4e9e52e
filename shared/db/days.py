"""Ids that start with their time (uuid7) as a line of days: where a day begins on it, and what a set of ids spans. Pure.

A bound has the shape of a uuid in lower case, so that it stands before the ids of its day under any collation.
"""

import math
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import sqlalchemy as sa

MOST_RANGES = 30
"""A statement that cannot tell the days it is about looks into every range (docs/decisions/0017)."""
_DAYS_FOR_EVER = 28
_CUT_BY = "cut_by"
_BOUNDS = ("first", "end")
_TIMED = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7")
_EPOCH = date(1970, 1, 1)


def cut_by(column: str) -> dict[str, str]:
    """The `info` of a table that PostgreSQL keeps in ranges of days of this column, which is in its primary key."""
    return {_CUT_BY: column}


def cut_column(table: sa.Table) -> sa.Column[Any] | None:
    """The column that the table is cut by, None when it is whole."""
    name = table.info.get(_CUT_BY)
    return None if name is None else table.c[name]


def bound(at: date | datetime) -> str:
    """What stands before every id of this moment, or of this day (UTC), and after every id before."""
    if not isinstance(at, datetime):
        at = datetime(at.year, at.month, at.day, tzinfo=UTC)
    return _bound(int(at.timestamp() * 1_000))


def day_of(id: str) -> date:
    """The day of an id or a bound."""
    return datetime.fromtimestamp(int(id[:8] + id[9:13], 16) / 1_000, UTC).date()


def span(ids: Iterable[str]) -> tuple[str, str] | None:
    """The bounds [first, end) that hold all of these ids, None when one of them does not say its time."""
    times = set()
    for id in ids:
        if not _TIMED.match(id):
            return None
        times.add(id[:8] + id[9:13])
    return _bound(int(min(times), 16)), _bound(int(max(times), 16) + 1)


def within(by: Sequence[sa.Column[Any]], keys: Sequence[tuple[Any, ...]]) -> dict[str, str]:
    """Between which ids the keys lie, of a table that is cut by one of the columns: PostgreSQL leaves out the ranges
    of days that a parameter excludes, but not those that no key in an array is of."""
    for place, column in enumerate(by):
        if column is cut_column(column.table):
            bounds = span(key[place] for key in keys)
            return dict(zip(_BOUNDS, bounds, strict=True)) if bounds else {}
    return {}


def is_within(by: Sequence[sa.Column[Any]]) -> sa.ColumnElement[bool]:
    """That the column which the table is cut by lies within the bounds."""
    [cut] = (column for column in by if column is cut_column(column.table))
    first, end = (sa.bindparam(name, type_=sa.Text) for name in _BOUNDS)
    return sa.and_(cut >= first, cut < end)


def days_in_a_range(kept_days: int) -> int:
    """One, unless a class of data is kept for so long that days would be too many; 0 is for ever."""
    return math.ceil(kept_days / MOST_RANGES) if kept_days else _DAYS_FOR_EVER


def next_cut(first: date, days: int) -> date:
    """Where a range ends that begins on that day: on a multiple of `days`, whoever works it out."""
    since = (first - _EPOCH).days
    return first + timedelta(days=days - since % days)


def _bound(milliseconds: int) -> str:
    digits = f"{milliseconds:012x}"
    return f"{digits[:8]}-{digits[8:]}-0000-0000-000000000000"
