"""The consumer loop of every service: fetch, decode, handle in one database transaction, commit the offset."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Container, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from shared import crash
from shared.contracts.envelope import Received, decode_record
from shared.dead_letters import dead_letter
from shared.errors import (
    AfterwordError,
    OffsetLost,
    Refused,
    Unavailable,
    Undecodable,
    UnknownMajor,
)
from shared.log import Consumer, Producer, Record, TopicPartition
from shared.telemetry import (
    BATCH_SECONDS,
    PARTITIONS_STOPPED,
    RECORDS_DEAD,
    RECORDS_HANDLED,
    RECORDS_SKIPPED,
    RETRIES,
    log,
    traced,
)

Handle = Callable[[Sequence[Received[Any]]], Awaitable[None]]
"""Applies a batch of one partition in one transaction, in log order. Replaying it must be harmless."""

Bury = Callable[[Received[Any], str], Awaitable[None]]
"""Tells the service that a decodable record was given up, so that its fate can be seen."""

_TRIES_ALONE = 3
_AT_ONCE = 3
"""How many partitions are handled at the same time: while the database works for two, this process works for the
third."""
_WAIT_SECONDS = 1.0
"""How long a fetch waits for records while nothing else is to be done."""
_GLANCE_SECONDS = 0.01
"""How long a fetch may wait for records while others are being handled."""
_REST_SECONDS = 0.05
"""When it found none: how long until the next look, unless a partition is done before."""
_BACKOFF_SECONDS = (0.1, 0.5, 1.0, 2.0, 5.0)


@dataclass(frozen=True)
class Subscription:
    """What a service does with the records of one topic."""

    handle: Handle
    decode: Callable[[Record], Received[Any] | None] = decode_record
    bury: Bury | None = None


@dataclass
class LoopStatus:
    """What the watchdog, `status` and `doctor` see of a loop."""

    last_progress: float = field(default_factory=time.monotonic)
    waiting: dict[TopicPartition | None, str] = field(default_factory=dict)
    """What each partition waits for, and under None what the fetch does."""
    stopped: dict[TopicPartition, str] = field(default_factory=dict)

    @property
    def waiting_for(self) -> str | None:
        return next(iter(self.waiting.values()), None)


class _GaveUp(Exception):
    """The partition was revoked or stopped, or the process stops. `end` is the offset that all is done up to, where
    that is known; without it nothing of the batch at hand is committed."""

    def __init__(self, end: int | None = None) -> None:
        super().__init__()
        self.end = end


_Run: TypeAlias = defaultdict[TopicPartition, list[int]]
"""The offsets of the records that failed in a row."""


class Worker:
    """One member of the service's consumer group."""

    def __init__(
        self,
        service: str,
        consumer: Consumer,
        producer: Producer,
        subscriptions: Mapping[str, Subscription],
        *,
        max_records: int = 1_000,
        poison_limit: int = 100,
    ) -> None:
        self.status = LoopStatus()
        self._service = service
        self._consumer = consumer
        self._producer = producer
        self._subscriptions = subscriptions
        self._max_records = max_records
        self._poison_limit = poison_limit
        self._undecodable_run: _Run = defaultdict(list)
        self._failed_run: _Run = defaultdict(list)
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._stop = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Consume until stopped, finishing the batch at hand. Raises `OffsetLost` when records were deleted
        before they were read: that ends the process, because going on would hide the loss."""
        self._stop = stop
        lost: OffsetLost | None = None
        async with asyncio.TaskGroup() as group:
            try:
                await self._feed(group)
            except OffsetLost as error:
                lost = error
        if lost is not None:
            raise lost

    async def _feed(self, group: asyncio.TaskGroup) -> None:
        """Fetch for the partitions that nothing is handled of, so that each has one batch at hand at any time."""
        busy: dict[TopicPartition, asyncio.Task[None]] = {}
        attempt = 0
        while not self._stop.is_set():
            try:
                fetched = await self._fetch(busy)
            except Unavailable as error:
                await self._wait(None, attempt, error)
                attempt += 1
                continue
            attempt = 0
            self.status.waiting.pop(None, None)
            self._forget_stopped(fetched)
            for partition, records in fetched.items():
                busy[partition] = group.create_task(self._work_off(partition, records))
            if busy and (not fetched or len(busy) > _AT_ONCE):
                seconds = _REST_SECONDS if not fetched else None
                await asyncio.wait(
                    busy.values(), timeout=seconds, return_when=asyncio.FIRST_COMPLETED
                )
            busy = {partition: task for partition, task in busy.items() if not task.done()}

    async def _fetch(
        self, busy: Collection[TopicPartition]
    ) -> Mapping[TopicPartition, Sequence[Record]]:
        """The next batch; nothing as soon as the process stops, which need not wait for records that may not come."""
        seconds = _GLANCE_SECONDS if busy else _WAIT_SECONDS
        fetching = asyncio.ensure_future(
            self._consumer.fetch(
                max_records=self._max_records, timeout_seconds=seconds, without=busy
            )
        )
        stopping = asyncio.ensure_future(self._stop.wait())
        try:
            await asyncio.wait({fetching, stopping}, return_when=asyncio.FIRST_COMPLETED)
            return fetching.result() if fetching.done() else {}
        finally:
            fetching.cancel()
            stopping.cancel()

    async def replay(self, record: Record) -> None:
        """Handle one dead letter again, outside the loop. Raises what the handler raises, or `Undecodable`."""
        subscription = self._subscriptions[record.topic]
        received = subscription.decode(record)
        if received is not None:
            with traced(received.traceparent):
                await subscription.handle([received])

    async def _work_off(self, partition: TopicPartition, records: Sequence[Record]) -> None:
        """Handle what was fetched of a partition when its turn comes, unless it was taken away meanwhile."""
        async with self._turns:
            with self._consumer.in_flight:
                if not self._stop.is_set() and self._consumer.owns(partition):
                    await self._process(partition, records)
        self.status.waiting.pop(partition, None)

    async def _process(self, partition: TopicPartition, records: Sequence[Record]) -> None:
        """Handle and commit one batch."""
        started = time.monotonic()
        subscription = self._subscriptions[partition.topic]
        try:
            readable, end = await self._decode(partition, records, subscription)
            if readable:
                await self._handle(partition, readable, subscription)
            await self._commit(partition, records[0].offset, end)
        except _GaveUp as gave_up:
            with suppress(_GaveUp):
                await self._commit(partition, records[0].offset, gave_up.end)
            await self._rewind(partition)
            return
        labels = (self._service, partition.topic)
        RECORDS_HANDLED.labels(*labels).inc(len(readable))
        BATCH_SECONDS.labels(*labels).observe(time.monotonic() - started)

    async def _commit(self, partition: TopicPartition, first: int, end: int | None) -> None:
        """Store how far the batch is done, unless nothing of it is."""
        if end is not None and end > first:
            crash.point(crash.Point.WORKER_AFTER_COMMIT)
            await self._persist(partition, lambda: self._consumer.commit(partition, end))

    async def _decode(
        self, partition: TopicPartition, records: Sequence[Record], subscription: Subscription
    ) -> tuple[list[Received[Any]], int | None]:
        """The readable records and the offset to go on from; the unreadable ones are dead letters by then."""
        readable: list[Received[Any]] = []
        end: int | None = None
        for record in records:
            try:
                received = subscription.decode(record)
            except UnknownMajor as error:
                self._stop_partition(partition, str(error))
            except Exception as error:  # noqa: BLE001 - one record must never end the loop of all others
                end = await self._undecodable(partition, record, error, end)
            else:
                self._undecodable_run[partition].clear()
                if received is None:
                    RECORDS_SKIPPED.labels(self._service, partition.topic).inc()
                else:
                    readable.append(received)
            if partition in self.status.stopped:
                return readable, end
            end = record.offset + 1
        return readable, end

    async def _undecodable(
        self, partition: TopicPartition, record: Record, error: Exception, end: int | None
    ) -> int | None:
        """Give the record up; where to go on from when that stopped the partition, else `end`."""
        reason = str(error) if isinstance(error, Undecodable) else _told(error)
        try:
            await self._give_up(partition, record, f"undecodable: {reason}", self._undecodable_run)
        except _GaveUp as gave_up:
            if gave_up.end is None:
                raise
            return gave_up.end
        return end

    async def _handle(
        self, partition: TopicPartition, batch: Sequence[Received[Any]], subscription: Subscription
    ) -> None:
        """Apply the batch; on an error that is the records' own, bisect to the one record and give it up."""
        try:
            await self._persist(partition, lambda: subscription.handle(batch))
        except _GaveUp:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a handler raises is this batch's failure, never skipped
            if len(batch) > 1:
                middle = len(batch) // 2
                await self._handle(partition, batch[:middle], subscription)
                await self._handle(partition, batch[middle:], subscription)
            else:
                await self._alone(partition, batch[0], subscription, error)
        else:
            self._failed_run[partition].clear()

    async def _alone(
        self,
        partition: TopicPartition,
        received: Received[Any],
        subscription: Subscription,
        error: Exception,
    ) -> None:
        for attempt in range(1, _TRIES_ALONE):
            if isinstance(error, AfterwordError):
                break
            await asyncio.sleep(_BACKOFF_SECONDS[attempt - 1])
            try:
                await self._persist(partition, lambda: subscription.handle([received]))
            except _GaveUp:
                raise
            except Exception as again:  # noqa: BLE001 - counted; the last one is the reason of the dead letter
                error = again
            else:
                self._failed_run[partition].clear()
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
        await self._give_up(partition, received.record, reason, self._failed_run)

    async def _note(
        self, partition: TopicPartition, received: Received[Any], reason: str, bury: Bury
    ) -> None:
        try:
            await self._persist(partition, lambda: bury(received, reason))
        except _GaveUp:
            raise
        except Exception as error:  # noqa: BLE001 - the dead letter that follows tells of the record too
            log.error("record_not_noted", service=self._service, reason=reason, exc_info=error)

    async def _give_up(
        self,
        partition: TopicPartition,
        record: Record,
        reason: str,
        run: _Run,
    ) -> None:
        """Dead-letter the record, or stop the partition before the row when too many in a row say that it is not
        the records: what came before them is done, and they are read again once the cause is mended."""
        row = run[partition]
        row.append(record.offset)
        if len(row) > self._poison_limit:
            # Every workspace sees why a partition stopped: the reasons stand with the dead letters, each its owner's.
            self._stop_partition(
                partition, f"{len(row)} records in a row could not be handled: see the log"
            )
            raise _GaveUp(row[0])
        letter = dead_letter(record, self._service, reason)
        try:
            await self._persist(partition, lambda: self._producer.send([letter]))
        except Refused as refusal:
            self._stop_partition(partition, f"the dead-letter topic refused the record: {refusal}")
            raise _GaveUp(record.offset) from refusal
        RECORDS_DEAD.labels(self._service, partition.topic).inc()
        log.warning(
            "record_dead_lettered",
            service=self._service,
            topic=partition.topic,
            partition=partition.partition,
            offset=record.offset,
            reason=reason,
        )

    async def _persist(self, partition: TopicPartition, act: Callable[[], Awaitable[None]]) -> None:
        """Do it, again and again while a dependency is away, until the partition is taken or the process stops."""
        attempt = 0
        while True:
            try:
                await act()
            except Unavailable as error:
                await self._wait(partition, attempt, error)
                attempt += 1
            else:
                self.status.waiting.pop(partition, None)
                self.status.last_progress = time.monotonic()
                return
            if self._stop.is_set() or not self._consumer.owns(partition):
                raise _GaveUp

    async def _wait(
        self, partition: TopicPartition | None, attempt: int, error: Unavailable
    ) -> None:
        self.status.waiting[partition] = str(error)
        RETRIES.labels(self._service).inc()
        log.warning("dependency_away", service=self._service, reason=str(error), attempt=attempt)
        await asyncio.sleep(_BACKOFF_SECONDS[min(attempt, len(_BACKOFF_SECONDS) - 1)])

    def _stop_partition(self, partition: TopicPartition, reason: str) -> None:
        self._consumer.stop_partition(partition)
        self.status.stopped[partition] = reason
        PARTITIONS_STOPPED.labels(self._service).set(len(self.status.stopped))
        log.error(
            "partition_stopped",
            service=self._service,
            topic=partition.topic,
            partition=partition.partition,
            reason=reason,
        )

    def _forget_stopped(self, fetched: Container[TopicPartition]) -> None:
        """What was assigned anew, here or to another member, starts over: nobody holds it any more."""
        assigned = self._consumer.assigned()
        for partition in [p for p in self.status.stopped if p in fetched or p not in assigned]:
            del self.status.stopped[partition]
            self._undecodable_run.pop(partition, None)
            self._failed_run.pop(partition, None)
        PARTITIONS_STOPPED.labels(self._service).set(len(self.status.stopped))

    async def _rewind(self, partition: TopicPartition) -> None:
        """Go on from the committed offset; who lost the partition meanwhile has nothing to go on with."""
        if self._consumer.owns(partition) and not self._stop.is_set():
            with suppress(_GaveUp):
                await self._persist(partition, lambda: self._consumer.seek_committed(partition))


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
