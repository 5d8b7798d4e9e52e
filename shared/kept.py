"""What a service keeps for some time: each class of data with the statements that let go of it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

import sqlalchemy as sa

from shared.db import Tx
from shared.db.days import bound
from shared.db.partitions import Range, list_ranges


@dataclass(frozen=True, slots=True)
class Before:
    """What came before this day began is old: as a moment, and as the bound of ids."""

    day: date

    @property
    def at(self) -> datetime:
        return datetime.combine(self.day, time(), UTC)

    @property
    def id(self) -> str:
        return bound(self.day)


@dataclass(frozen=True)
class Kept:
    """A class of data: for how many days it is kept, in which tables, and the service's statements about its rows."""

    name: str
    days: int
    """0 is for ever."""
    tables: tuple[str, ...]
    """Where it is; the first one's rows are counted."""
    oldest: Callable[[Tx], Awaitable[date | None]]
    count: Callable[[Tx, Before, int], Awaitable[int]]
    """How many rows would be let go of one by one, counted up to a number."""
    delete: Callable[[Tx, Before, int], Awaitable[int]] | None = None
    """Let go of up to so many; None where another step of the service does it."""
    wide: tuple[sa.Table, ...] = ()
    """The tables that are dropped range by range, cut alike."""
    holds: Callable[[Tx, Range, Before | None], Awaitable[bool]] | None = None
    """Whether a range is needed yet for rows that stay; without a day, for any row at all."""

    def before(self, at: datetime) -> Before | None:
        """What is old now, None when nothing ever is."""
        return Before((at - timedelta(days=self.days)).date()) if self.days else None


async def old_ranges(tx: Tx, kept: Kept, before: Before | None) -> list[tuple[Range, bool]]:
    """The ranges that are wholly old, each with whether it waits."""
    if before is None or not kept.wide:
        return []
    old = [one for one in await list_ranges(tx, kept.wide[0]) if one.end <= before.id]
    return [(one, kept.holds is not None and await kept.holds(tx, one, before)) for one in old]
