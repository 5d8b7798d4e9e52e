"""The dry run of retention: what would be let go of now, by class of data; it changes nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from shared.db import Tx
from shared.db.partitions import list_ranges
from shared.kept import Kept, old_ranges

MOST_COUNTED = 100_000
"""An outlook counts no more rows than this, so that a look stays cheap."""


@dataclass(frozen=True)
class RangeOutlook:
    """A partition that is old; one that `waits` has work left in it, or rows that are not old themselves."""

    name: str
    first_day: date | None
    end_day: date
    rows: int
    bytes: int
    waits: bool


@dataclass(frozen=True)
class Outlook:
    """What would be let go of now. The rows of partitions are an estimate; `rows` are those of the first of the tables
    that go one by one."""

    name: str
    tables: Sequence[str]
    kept_days: int | None
    before: date | None
    oldest_day: date | None
    rows: int
    days_ahead: int | None
    """For how many days to come there are partitions; None where there are none at all."""
    partitions: Sequence[RangeOutlook]


async def look_at(tx: Tx, kept: Kept, at: datetime, most: int) -> Outlook:
    """The outlook of a class of data at that time, counting up to `most` rows."""
    before = kept.before(at)
    old = {(one.first, one.end): waits for one, waits in await old_ranges(tx, kept, before)}
    every = [await list_ranges(tx, table) for table in kept.wide]
    return Outlook(
        name=kept.name,
        tables=kept.tables,
        kept_days=kept.days or None,
        before=before.day if before else None,
        oldest_day=await kept.oldest(tx),
        rows=await kept.count(tx, before, most) if before else 0,
        days_ahead=min(((one[-1].end_day - at.date()).days for one in every if one), default=None),
        partitions=[
            RangeOutlook(
                one.name, one.first_day, one.end_day, one.rows, one.bytes, old[one.first, one.end]
            )
            for ranges in every
            for one in ranges
            if (one.first, one.end) in old
        ],
    )
