"""Lets go of what has been kept for long enough: ranges of days are dropped, other rows deleted in small batches.

Nothing here hurries: a range that is in use, or has work left in it, is looked at again in an hour.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from datetime import UTC, datetime, time

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from shared import crash
from shared.db import Database, now
from shared.db.days import days_in_a_range
from shared.db.partitions import Range, drop_range, make_ranges, seize
from shared.due import run_steps
from shared.errors import Unavailable
from shared.instruments import (
    RETENTION_OLDEST_DAY,
    RETENTION_RANGES_DROPPED,
    RETENTION_ROWS_DELETED,
)
from shared.kept import Kept, old_ranges
from shared.leases import Lease
from shared.outlook import MOST_COUNTED, Outlook, look_at
from shared.telemetry import log

_POLL_SECONDS = 3_600.0
_BATCH = 1_000


class Retention:
    """Runs in every replica, works in one at a time."""

    def __init__(self, database: Database, leases: sa.Table, kept: Sequence[Kept]) -> None:
        self._database = database
        self._lease = Lease(database, leases, "retention")
        self._kept = kept
        self._one_at_a_time = asyncio.Lock()
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
        return await self.work() or 0

    async def work(self) -> int | None:
        """The same at an operator's wish; None while another replica is at it."""
        async with self._one_at_a_time:
            if not await self._lease.hold():
                return None
            return sum([await self._tend(kept) for kept in self._kept])

    async def outlook(self, *, most: int = MOST_COUNTED) -> list[Outlook]:
        """What the next steps would let go of, by class, counting up to `most` rows; changes nothing."""
        async with self._database.read() as tx:
            at = await now(tx)
            return [await look_at(tx, kept, at, most) for kept in self._kept]

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
            crash.point(crash.Point.RETENTION_BEFORE_COMMIT)
        RETENTION_ROWS_DELETED.labels(self._database.service, kept.name).inc(deleted)
        return deleted

    async def _drop(self, kept: Kept) -> None:
        async with self._database.read() as tx:
            before = kept.before(await now(tx))
            old = await old_ranges(tx, kept, before)
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
