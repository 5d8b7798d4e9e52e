"""Handles what was fetched: of several partitions together where all goes well, else of each alone.

A record that cannot be read goes to the dead letters; a batch that fails for another reason than a dependency is
bisected to the one record, which is tried alone and then given up.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import msgspec

from shared import crash
from shared.contracts.envelope import Received
from shared.errors import AfterwordError, Undecodable, UnknownMajor
from shared.instruments import (
    BATCH_SECONDS,
    BATCH_SIZE,
    RECORDS_DEAD,
    RECORDS_HANDLED,
    RECORDS_SKIPPED,
    STOPPED,
)
from shared.log import Consumer, Record, TopicPartition
from shared.telemetry import log
from shared.worker import patience
from shared.worker.giving_up import GivingUp
from shared.worker.patience import GaveUp, Patience
from shared.worker.status import LoopStatus
from shared.worker.subscription import Bury, Subscription

_TRIES_ALONE = 3


class Read(msgspec.Struct, frozen=True):
    """A record and what was read of it: None for a type that this version does not know, or why it cannot be read.

    The garbage collector sees it, for the error leads back to it by the frames that it was raised in.
    """

    record: Record
    received: Received[Any] | None
    error: Exception | None = None


Note = Callable[[Mapping[TopicPartition, int]], Awaitable[None]]
"""Notes in the database where partitions go on, past records that left nothing else there."""

ReadByPartition = Mapping[TopicPartition, Sequence[Read]]
"""What was fetched of one topic."""


def measure_from_zero(service: str, topic: str) -> None:
    """Have the series of a topic before anything happens to its records."""
    for counter in (RECORDS_HANDLED, RECORDS_SKIPPED, RECORDS_DEAD):
        counter.labels(service, topic)
    for histogram in (BATCH_SECONDS, BATCH_SIZE):
        histogram.labels(service, topic)
    STOPPED.labels(service)


def read(record: Record, subscription: Subscription) -> Read:
    """Decode a record, once. Never raises."""
    try:
        return Read(record, subscription.decode(record))
    except Exception as error:  # noqa: BLE001 - one record must never end the loop of all others
        return Read(record, None, error)


class Handling:
    """Applies fetched records and commits how far they are done."""

    def __init__(
        self,
        service: str,
        consumer: Consumer,
        status: LoopStatus,
        patience: Patience,
        giving_up: GivingUp,
        note: Note,
    ) -> None:
        self._note_positions = note
        self._passed: dict[TopicPartition, int] = {}
        """Where each partition goes on after the last of its records that no handler has noted."""
        self._service = service
        self._consumer = consumer
        self._status = status
        self._patience = patience
        self._giving_up = giving_up

    async def together(self, read: ReadByPartition, subscription: Subscription) -> bool:
        """Handle and commit what was fetched of several partitions in one transaction; if that is not possible,
        nothing has been done, and each is to be handled alone.

        At low rates each partition brings one record, so a transaction for all of them is what keeps up; that it is
        one has no meaning.
        """
        started = time.monotonic()
        every = [one for some in read.values() for one in some]
        if any(one.error is not None for one in every):
            return False
        batch = [one.received for one in every if one.received is not None]
        try:
            if batch:
                await self._patience.persist(read, lambda: subscription.handle(batch))
        except GaveUp:
            return False
        except Exception as error:  # noqa: BLE001 - whatever it is, it is met again by the partition that it is of
            log.info("handled_apart", service=self._service, reason=_told(error))
            return False
        self._giving_up.all_is_well(read)
        for at, some in read.items():
            if some[-1].received is None:
                self._pass(at, some[-1].record)
        with suppress(GaveUp):
            await self._commit({at: some[-1].record.offset + 1 for at, some in read.items()})
        (topic,) = {partition.topic for partition in read}
        RECORDS_SKIPPED.labels(self._service, topic).inc(len(every) - len(batch))
        self._count(topic, len(batch), started)
        return True

    async def alone(
        self, partition: TopicPartition, read: Sequence[Read], subscription: Subscription
    ) -> None:
        """Handle and commit what was fetched of one partition, whatever is wrong with some of it."""
        started = time.monotonic()
        first = read[0].record.offset
        try:
            readable, end = await self._sort_out(partition, read)
            if readable:
                await self._apply(partition, readable, subscription)
            if end is not None and end > first:
                await self._commit({partition: end})
        except GaveUp as gave_up:
            with suppress(GaveUp):
                if gave_up.end is not None and gave_up.end > first:
                    await self._commit({partition: gave_up.end})
            await self._rewind(partition)
            return
        self._count(partition.topic, len(readable), started)

    def _count(self, topic: str, records: int, started: float) -> None:
        RECORDS_HANDLED.labels(self._service, topic).inc(records)
        BATCH_SECONDS.labels(self._service, topic).observe(time.monotonic() - started)
        if records:
            BATCH_SIZE.labels(self._service, topic).observe(records)

    def _pass(self, at: TopicPartition, record: Record) -> None:
        """Remember that the group passes a record that no handler has noted."""
        self._passed[at] = max(self._passed.get(at, 0), record.offset + 1)

    async def _commit(self, ends: Mapping[TopicPartition, int]) -> None:
        """Store how far each partition is done; the database must never be behind what the group has passed."""
        if passed := {at: end for at, end in ends.items() if self._passed.pop(at, 0) >= end}:
            await self._patience.persist(passed, lambda: self._note_positions(passed))
        crash.point(crash.Point.WORKER_AFTER_COMMIT)
        await self._patience.persist(ends, lambda: self._consumer.commit(ends))

    async def _sort_out(
        self, partition: TopicPartition, read: Sequence[Read]
    ) -> tuple[list[Received[Any]], int | None]:
        """The readable records and the offset to go on from; the unreadable ones are dead letters by then."""
        readable: list[Received[Any]] = []
        end: int | None = None
        for one in read:
            record, received, error = one.record, one.received, one.error
            if isinstance(error, UnknownMajor):
                self._giving_up.stop(partition, str(error))
            elif error is not None:
                end = await self._unreadable(partition, record, error, end)
            else:
                self._giving_up.unreadable.pop(partition, None)
                if received is None:
                    self._pass(partition, record)
                    RECORDS_SKIPPED.labels(self._service, partition.topic).inc()
                else:
                    readable.append(received)
            if partition in self._status.stopped:
                return readable, end
            end = record.offset + 1
        return readable, end

    async def _unreadable(
        self, partition: TopicPartition, record: Record, error: Exception, end: int | None
    ) -> int | None:
        """Give the record up; where to go on from when that stopped the partition, else `end`."""
        reason = str(error) if isinstance(error, Undecodable) else _told(error)
        row = self._giving_up.unreadable[partition]
        try:
            await self._giving_up.give_up(partition, record, f"undecodable: {reason}", row)
            self._pass(partition, record)
        except GaveUp as gave_up:
            if gave_up.end is None:
                raise
            return gave_up.end
        return end

    async def _apply(
        self, partition: TopicPartition, batch: Sequence[Received[Any]], subscription: Subscription
    ) -> None:
        """Apply the batch; on an error that is the records' own, bisect to the one record and give it up."""
        try:
            await self._patience.persist([partition], lambda: subscription.handle(batch))
        except GaveUp:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a handler raises is this batch's failure, never skipped
            if len(batch) > 1:
                middle = len(batch) // 2
                await self._apply(partition, batch[:middle], subscription)
                await self._apply(partition, batch[middle:], subscription)
            else:
                await self._try_alone(partition, batch[0], subscription, error)
        else:
            self._giving_up.failed.pop(partition, None)

    async def _try_alone(
        self,
        partition: TopicPartition,
        received: Received[Any],
        subscription: Subscription,
        error: Exception,
    ) -> None:
        for attempt in range(1, _TRIES_ALONE):
            if isinstance(error, AfterwordError):
                break
            await asyncio.sleep(patience.BACKOFF_SECONDS[attempt - 1])
            try:
                await self._patience.persist([partition], lambda: subscription.handle([received]))
            except GaveUp:
                raise
            except Exception as again:  # noqa: BLE001 - counted; the last one is the reason of the dead letter
                error = again
            else:
                self._giving_up.failed.pop(partition, None)
                return
        reason = _told(error)
        log.error(
            "record_failed",
            service=self._service,
            topic=partition.topic,
            partition=partition.partition,
            offset=received.record.offset,
            reason=reason,
            exc_info=error,
        )
        if subscription.bury is not None:
            await self._note(partition, received, reason, subscription.bury)
        row = self._giving_up.failed[partition]
        await self._giving_up.give_up(partition, received.record, reason, row)
        self._pass(partition, received.record)

    async def _note(
        self, partition: TopicPartition, received: Received[Any], reason: str, bury: Bury
    ) -> None:
        try:
            await self._patience.persist([partition], lambda: bury(received, reason))
        except GaveUp:
            raise
        except Exception as error:  # noqa: BLE001 - the dead letter that follows tells of the record too
            log.error("record_not_noted", service=self._service, reason=reason, exc_info=error)

    async def _rewind(self, partition: TopicPartition) -> None:
        """Go on from the committed offset; who lost the partition meanwhile has nothing to go on with."""
        if self._consumer.owns(partition) and not self._patience.stop.is_set():
            with suppress(GaveUp):
                await self._patience.persist(
                    [partition], lambda: self._consumer.seek_committed(partition)
                )


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
