"""The ranges of days in which PostgreSQL keeps a wide table: made ahead, listed, dropped whole. SQLite keeps one table.

What no range is for goes to the default partition: a late message about an old alert, a row of a clock that is far
off. No statement here waits long for a lock, because everybody else would wait behind it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache

import sqlalchemy as sa

from shared.db import postgresql
from shared.db.days import bound, cut_column, day_of, next_cut
from shared.db.engine import Tx

DAYS_AHEAD = 7
_LOCK_TIMEOUT = "500ms"
_BEGINNING = ""
"""Before every id; the first range of a table begins there."""
_RANGES = """
SELECT c.relname AS name, pg_get_expr(c.relpartbound, c.oid) AS bounds,
    greatest(c.reltuples, 0)::bigint AS rows, pg_total_relation_size(c.oid) AS bytes
FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = to_regclass($1)
"""


@dataclass(frozen=True, slots=True, order=True)
class Range:
    """One partition: the ids in [first, end). How many rows it has is the planner's guess."""

    end: str
    first: str
    name: str
    rows: int
    bytes: int

    @property
    def first_day(self) -> date | None:
        """None when it reaches back to the beginning."""
        return day_of(self.first) if self.first else None

    @property
    def end_day(self) -> date:
        return day_of(self.end)


async def list_ranges(tx: Tx, table: sa.Table) -> list[Range]:
    """The ranges of the table, the oldest first; none of them is the default partition."""
    if tx.dialect.name != "postgresql" or cut_column(table) is None:
        return []
    found = []
    for row in await postgresql.fetch(tx, _RANGES, (table.name,)):
        if row.bounds != "DEFAULT":
            first, end = _parsed(row.bounds)
            found.append(Range(end, first, row.name, row.rows, row.bytes))
    return sorted(found)


@lru_cache
def remainder(dialect: str, table: sa.Table) -> sa.Table:
    """Where rows are deleted one by one: the default partition on PostgreSQL, the table itself on SQLite."""
    if dialect != "postgresql" or cut_column(table) is None:
        return table
    return table.to_metadata(sa.MetaData(), name=_default_of(table))


async def make_ranges(tx: Tx, tables: Sequence[sa.Table], at: datetime, days: int) -> list[date]:
    """Make the ranges, of so many days each, that are missing of the coming week; returns where they begin.

    The tables are cut alike. Idempotent; two at once wait for each other. A day that has rows in the default
    partition already stays there. Raises `Unavailable` when a statement of somebody else runs for long.
    """
    if tx.dialect.name != "postgresql" or not tables:
        return []
    horizon = at.date() + timedelta(days=DAYS_AHEAD)
    if await _next(tx, tables[0], at) > horizon:
        return []
    await _lock(tx, tables, "SHARE UPDATE EXCLUSIVE")
    first = await _next(tx, tables[0], at)
    made = []
    while first <= horizon:
        end = next_cut(first, days)
        if await _is_taken(tx, tables, first, end):
            first += timedelta(days=1)
            continue
        for table in tables:
            await _make(tx, table, first, end)
        made.append(first)
        first = end
    return made


async def seize(tx: Tx, tables: Iterable[sa.Table]) -> None:
    """Keep everybody out of the tables until the transaction ends. Raises `Unavailable` when they are in use for longer
    than is worth waiting for."""
    await _lock(tx, tables, "ACCESS EXCLUSIVE")


async def drop_range(tx: Tx, tables: Iterable[sa.Table], one: Range) -> tuple[int, int]:
    """Drop this range of tables that are cut alike and have been seized; returns its rows, as guessed, and bytes."""
    rows = size = 0
    for table in tables:
        for each in await list_ranges(tx, table):
            if (each.first, each.end) == (one.first, one.end):
                await _run(tx, f"DROP TABLE {each.name}")
                rows, size = rows + each.rows, size + each.bytes
    return rows, size


async def _next(tx: Tx, table: sa.Table, at: datetime) -> date:
    """The first day from now on that is in no range."""
    ends = [one.end_day for one in await list_ranges(tx, table)]
    return max([*ends, at.date()])


async def _make(tx: Tx, table: sa.Table, first: date, end: date) -> None:
    """Attached and not made in its place: that would keep everybody out of the whole table."""
    name = f"{table.name}_{first:%Y%m%d}"
    await _run(tx, f"CREATE TABLE {name} (LIKE {table.name} INCLUDING ALL EXCLUDING INDEXES)")
    await _run(
        tx,
        f"ALTER TABLE {table.name} ATTACH PARTITION {name}"
        f" FOR VALUES FROM ('{bound(first)}') TO ('{bound(end)}')",
    )


async def _is_taken(tx: Tx, tables: Iterable[sa.Table], first: date, end: date) -> bool:
    """Whether the default partition of one of the tables has rows of these days."""
    for table in tables:
        rest = remainder(tx.dialect.name, table)
        if (key := cut_column(rest)) is not None:
            one = sa.select(key).where(key >= bound(first), key < bound(end)).limit(1)
            if (await tx.execute(one)).first() is not None:
                return True
    return False


async def _lock(tx: Tx, tables: Iterable[sa.Table], mode: str) -> None:
    await _run(tx, f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'")
    for table in tables:
        await _run(tx, f"LOCK TABLE ONLY {table.name} IN {mode} MODE")


async def _run(tx: Tx, sql: str) -> None:
    await postgresql.fetch(tx, sql, ())


def _default_of(table: sa.Table) -> str:
    return f"{table.name}_default"


def _parsed(bounds: str) -> tuple[str, str]:
    """From `FOR VALUES FROM (MINVALUE) TO ('...')`."""
    first, _, end = bounds.removeprefix("FOR VALUES FROM (").removesuffix(")").partition(") TO (")
    return _BEGINNING if first == "MINVALUE" else first.strip("'"), end.strip("'")
