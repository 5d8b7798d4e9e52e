"""Lets go of what has been kept for long enough: ranges of days are dropped, other rows deleted in small batches.

Nothing here hurries: a range that is in use, or has work left in it, is looked at again in an hour.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from shared.db import Database, Tx, now
from shared.db.days import bound, days_in_a_range
from shared.db.partitions import Range, drop_range, list_ranges, make_ranges, seize
from shared.due import run_steps
from shared.errors import Unavailable
from shared.instruments import (
    RETENTION_OLDEST_DAY,
    RETENTION_RANGES_DROPPED,
    RETENTION_ROWS_DELETED,
)
from shared.leases import Lease
from shared.telemetry import log

_POLL_SECONDS = 3_600.0
_BATCH = 1_000
MOST_COUNTED = 100_000
"""An outlook counts no more rows than this, so that a look stays cheap."""


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
    oldest: Callable[[Tx], Awaitable[date | None]]
    count: Callable[[Tx, Before, int], Awaitable[int]]
    """How many rows would be deleted one by one, counted up to a number."""
    delete: Callable[[Tx, Before, int], Awaitable[int]] | None = None
    """Delete up to so many; None where another step of the service does it."""
    wide: tuple[sa.Table, ...] = ()
    """The tables that are dropped range by range, cut alike."""
    holds: Callable[[Tx, Range, Before | None], Awaitable[bool]] | None = None
    """Whether a range is needed yet for rows that stay; without a day, for any row at all."""

    def before(self, at: datetime) -> Before | None:
        """What is old now, None when nothing ever is."""
        return Before((at - timedelta(days=self.days)).date()) if self.days else None


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
    """What would be let go of now. The rows of partitions are an estimate; `rows` are those deleted one by one."""

    name: str
    kept_days: int | None
    before: date | None
    oldest_day: date | None
    rows: int
    days_ahead: int | None
    """For how many days to come there are partitions; None where there are none at all."""
    partitions: Sequence[RangeOutlook]


class Retention:
    """Runs in every replica, works in one at a time."""

    def __init__(self, database: Database, leases: sa.Table, kept: Sequence[Kept]) -> None:
        self._database = database
        self._lease = Lease(database, leases, "retention")
        self._kept = kept
        self._waiting: set[str] = set()
        for one in kept:
            RETENTION_ROWS_DELETED.labels(database.service, one.name)
            RETENTION_RANGES_DROPPED.labels(database.service, one.name)

    async def run(self, stop: asyncio.Event) -> None:
        """Make the coming ranges and let go of the old ones, now and every hour, until stopped."""
        signal = self._database.signal("retention")
        service = self._database.service
        await run_steps(
            service, "retention", self.step, signal=signal, stop=stop, poll_seconds=_POLL_SECONDS
        )
        with contextlib.suppress(Unavailable):
            await self._lease.release()

    async def step(self) -> int:
        """One bounded piece of the work; returns how many rows were deleted one by one: there may be more of them."""
        if not await self._lease.hold():
            return 0
        return sum([await self._tend(kept) for kept in self._kept])

    async def outlook(self, *, most: int = MOST_COUNTED) -> list[Outlook]:
        """What the next steps would let go of, by class, counting up to `most` rows; changes nothing."""
        async with self._database.read() as tx:
            at = await now(tx)
            return [await _outlook(tx, kept, at, most) for kept in self._kept]

    async def _tend(self, kept: Kept) -> int:
        try:
            await self._make(kept)
            if deleted := await self._delete(kept):
                return deleted
            await self._drop(kept)
            await self._measure(kept)
        except DBAPIError as error:
            # Whatever it is, it must not end the process: rows go to the default partition, and old ones stay.
            log.error("retention_failed", data=kept.name, reason=str(error.orig))
        return 0

    async def _make(self, kept: Kept) -> None:
        try:
            async with self._database.begin() as tx:
                made = await make_ranges(tx, kept.wide, await now(tx), days_in_a_range(kept.days))
        except Unavailable as error:
            log.info("ranges_not_made_yet", data=kept.name, reason=str(error))
            return
        if made:
            log.info("ranges_made", data=kept.name, days=[day.isoformat() for day in made])

    async def _delete(self, kept: Kept) -> int:
        if kept.delete is None or not kept.days:
            return 0
        async with self._database.begin() as tx:
            before = kept.before(await now(tx))
            deleted = await kept.delete(tx, before, _BATCH) if before else 0
        RETENTION_ROWS_DELETED.labels(self._database.service, kept.name).inc(deleted)
        return deleted

    async def _drop(self, kept: Kept) -> None:
        async with self._database.read() as tx:
            before = kept.before(await now(tx))
            old = await _old_ranges(tx, kept, before)
        for one, waits in old:
            if waits or not await self._drop_one(kept, one):
                self._say_once(kept, one)

    async def _drop_one(self, kept: Kept, one: Range) -> bool:
        """Drop a range unless it is needed, which is asked again with everybody kept out; True when that is done."""
        try:
            async with self._database.begin() as tx:
                await seize(tx, kept.wide)
                if kept.holds is not None and await kept.holds(tx, one, None):
                    return False
                rows, size = await drop_range(tx, kept.wide, one)
        except Unavailable as error:
            log.info("range_in_use", data=kept.name, range=one.name, reason=str(error))
            return True
        if not size:
            return True  # another replica has dropped it
        RETENTION_RANGES_DROPPED.labels(self._database.service, kept.name).inc()
        log.info("range_dropped", data=kept.name, range=one.name, rows=rows, bytes=size)
        return True

    def _say_once(self, kept: Kept, one: Range) -> None:
        if one.name not in self._waiting:
            self._waiting.add(one.name)
            log.warning(
                "old_range_waits", data=kept.name, range=one.name, end=one.end_day.isoformat()
            )

    async def _measure(self, kept: Kept) -> None:
        async with self._database.read() as tx:
            oldest = await kept.oldest(tx) or (await now(tx)).date()
        RETENTION_OLDEST_DAY.labels(self._database.service, kept.name).set(
            datetime.combine(oldest, time(), UTC).timestamp()
        )


async def _old_ranges(tx: Tx, kept: Kept, before: Before | None) -> list[tuple[Range, bool]]:
    """The ranges that are wholly old, each with whether it waits."""
    if before is None or not kept.wide:
        return []
    old = [one for one in await list_ranges(tx, kept.wide[0]) if one.end <= before.id]
    return [(one, kept.holds is not None and await kept.holds(tx, one, before)) for one in old]


async def _outlook(tx: Tx, kept: Kept, at: datetime, most: int) -> Outlook:
    before = kept.before(at)
    old = {(one.first, one.end): waits for one, waits in await _old_ranges(tx, kept, before)}
    every = [await list_ranges(tx, table) for table in kept.wide]
    return Outlook(
        name=kept.name,
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
