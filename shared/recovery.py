"""Brings a database that is older than the log up to date, before anything else works on it.

A backup that was restored, or a standby that took over too early, does not know what the service has said and read
since. What it said stands in its own topics, and is taken over again; what it read is read again, because its group
goes back to where the database ends. A database that is not older finds nothing to do.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from shared.contracts.envelope import Received, decode_message
from shared.db import Database, Tx
from shared.errors import Unavailable, Undecodable, UnknownMajor
from shared.going_back import go_back
from shared.instruments import RECOVERED, RECOVERY_LEFT
from shared.leases import Lease
from shared.log import Lag, Log, Record, TopicPartition
from shared.positions import TRUSTED, announced, forget, held, load_positions, note
from shared.progress import Reading, Tell, tell_nobody
from shared.telemetry import log as telemetry
from shared.unsaid import Unsaid

RECOVERING: Final = "what was announced is compared with the log first"
_AT_ONCE: Final = 500
_LEASE_SECONDS: Final = 10.0
_RETRY_SECONDS: Final = 0.2

Restore = Callable[[Tx, Sequence[Received[Any]]], Awaitable[int]]
"""Takes over what the service itself announced, where it is newer than what stands in the database, and announces
nothing; returns how many that was. Replaying it must be harmless."""


class _Hearing(NamedTuple):
    """What is done with the messages of one topic."""

    restore: Restore
    unsaid: Unsaid
    reading: Reading


@dataclass(frozen=True)
class Recovery:
    """What one service has said (`restores`, by topic) and what its group reads (`topics`)."""

    log: Log
    database: Database
    positions: sa.Table
    leases: sa.Table
    outbox: sa.Table
    topics: tuple[str, ...]
    restores: Mapping[str, Restore]
    tell: Tell = tell_nobody
    tell_every_seconds: float = 5.0

    def __post_init__(self) -> None:
        for topic in self.restores:
            RECOVERED.labels(self.database.service, topic)
            RECOVERY_LEFT.labels(self.database.service, topic)

    async def run(self) -> None:
        """Compare and mend, in one replica at a time. Raises `Unavailable` when it must be tried again. Idempotent."""
        lease = Lease(self.database, self.leases, "recovery", seconds=_LEASE_SECONDS)
        while True:
            if await lease.hold():
                break
            self.tell("another replica compares the database with the log")
            await asyncio.sleep(_RETRY_SECONDS)
        self.tell(None)
        try:
            for topic, restore in self.restores.items():
                await self._hear(topic, restore, lease)
            await self._go_back(lease)
        finally:
            self.tell(None)
            with suppress(Unavailable):
                await lease.release()

    async def _hear(self, topic: str, restore: Restore, lease: Lease) -> None:
        """Take over what the service said on a topic since the database knows of what it said."""
        lags = await self.log.lag(self.database.service, [topic])
        positions = await self._positions(lags, announced)
        unheard: dict[TopicPartition, range] = {}
        for at, lag in sorted(lags.items()):
            position = positions.get(at, 0)
            if position == TRUSTED:
                await self._note({announced(at): lag.end})
            else:
                unheard[at] = range(max(position, lag.start), lag.end)
        total = sum(map(len, unheard.values()))
        reading = Reading(
            self.database.service, topic, total, self.tell, every_seconds=self.tell_every_seconds
        )
        if not total:
            return
        async with self.database.read() as tx:
            unsaid = await Unsaid.load(tx, self.outbox, topic)
        newer = 0
        for at, offsets in unheard.items():
            newer += await self._hear_partition(
                at, offsets, _Hearing(restore, unsaid, reading), lease
            )
        if newer:
            RECOVERED.labels(self.database.service, topic).inc(newer)
            telemetry.warning(
                "database_was_older", service=self.database.service, topic=topic, restored=newer
            )

    async def _hear_partition(
        self,
        at: TopicPartition,
        offsets: range,
        hearing: _Hearing,
        lease: Lease,
    ) -> int:
        newer, position = 0, offsets.start
        while position < offsets.stop:
            records = await self.log.read(at, position, max_records=_AT_ONCE)
            if not records or not await lease.hold():
                raise Unavailable(f"{at.topic}/{at.partition} could not be read on")
            newer += await self._take_over(records, hearing)
            before, position = position, records[-1].offset + 1
            hearing.reading.advance(min(position, offsets.stop) - before)
        return newer

    async def _take_over(self, records: Sequence[Record], hearing: _Hearing) -> int:
        batch = [received for record in records if (received := _readable(record)) is not None]
        async with self.database.begin() as tx:
            newer = await hearing.restore(tx, batch) if batch else 0
            await hearing.unsaid.said(tx, records)
            await note(tx, self.positions, {announced(records[0].at): records[-1].offset + 1})
        return newer

    async def _go_back(self, lease: Lease) -> None:
        """Have the group read again what it has passed and the database does not hold."""
        # In this order: what another replica commits meanwhile, it has noted before.
        lags = await self.log.lag(self.database.service, self.topics)
        positions = await self._positions(lags, lambda at: at)
        back: dict[TopicPartition, int] = {}
        trusted: dict[TopicPartition, int] = {}
        for at, lag in lags.items():
            position = positions.get(at, TRUSTED)
            if position == TRUSTED or lag.moved:
                trusted[at] = lag.start if lag.committed is None else lag.committed
            elif lag.committed is not None and max(position, lag.start) < lag.committed:
                back[at] = max(position, lag.start)
                telemetry.warning(
                    "database_was_older",
                    service=self.database.service,
                    topic=at.topic,
                    partition=at.partition,
                    reads_again=lag.committed - back[at],
                    gone_from_the_log=max(0, lag.start - position),
                )
        if back:
            await go_back(self.log, self.database.service, back, lease, self.tell)
        await self._note(trusted)

    async def _positions(
        self,
        lags: Mapping[TopicPartition, Lag],
        noted_as: Callable[[TopicPartition], TopicPartition],
    ) -> dict[TopicPartition, int]:
        """The next offset of each partition, without those that were noted of another log: offsets begin again where
        topics are made anew, as in another cluster, and what was noted would hide all that they tell until then."""
        async with self.database.read() as tx:
            names = {noted_as(at).topic for at in lags}
            noted = await load_positions(tx, self.positions, names)
        positions = {at: held(noted, noted_as(at)) for at in lags}
        if beyond := [at for at, position in positions.items() if position > lags[at].end]:
            # A replica that goes on meanwhile may have come so far; then the log has it too.
            topics = sorted({at.topic for at in beyond})
            later = await self.log.lag(self.database.service, topics)
            gone = [at for at in beyond if positions[at] > later[at].end]
            if gone:
                await self._forget([noted_as(at) for at in gone])
            for at in gone:
                del positions[at]
        return positions

    async def _forget(self, partitions: Sequence[TopicPartition]) -> None:
        async with self.database.begin() as tx:
            await forget(tx, self.positions, partitions)
        for at in partitions:
            telemetry.warning(
                "log_was_replaced",
                service=self.database.service,
                topic=at.topic,
                partition=at.partition,
            )

    async def _note(self, ends: Mapping[TopicPartition, int]) -> None:
        if ends:
            async with self.database.begin() as tx:
                await note(tx, self.positions, ends)


def _readable(record: Record) -> Received[Any] | None:
    """A message of ours; raises `Unavailable` for one of a newer major version, which this code must not pass over."""
    try:
        return decode_message(record)
    except Undecodable as error:
        telemetry.warning("own_word_unreadable", topic=record.topic, reason=str(error))
        return None
    except UnknownMajor as error:
        raise Unavailable(str(error)) from error
