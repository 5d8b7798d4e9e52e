"""The loop itself: fetches for the partitions that nothing is handled of, and hands on what came."""

import asyncio
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

from shared.errors import OffsetLost, Unavailable
from shared.log import Consumer, Producer, Record, TopicPartition
from shared.telemetry import traced
from shared.worker.giving_up import GivingUp
from shared.worker.handling import (
    Handling,
    Note,
    Read,
    ReadByPartition,
    measure_from_zero,
    read,
)
from shared.worker.patience import Patience
from shared.worker.status import LoopStatus
from shared.worker.subscription import Subscription

AT_ONCE = 5
"""How many batches are handled at the same time: while the database works for some, this process works for another."""
_WAIT_SECONDS = 1.0
"""How long a fetch waits for records while nothing else is to be done."""
_GLANCE_SECONDS = 0.01
"""How long a fetch may wait for records while others are being handled."""
_REST_SECONDS = 0.05
"""When it found none: how long until the next look, unless a batch is done before."""


class Worker:
    """One member of the service's consumer group."""

    def __init__(
        self,
        service: str,
        consumer: Consumer,
        producer: Producer,
        subscriptions: Mapping[str, Subscription],
        note: Note,
        *,
        max_records: int = 1_000,
        poison_limit: int = 100,
    ) -> None:
        self.status = LoopStatus()
        self._consumer = consumer
        self._subscriptions = subscriptions
        self._max_records = max_records
        self._patience = Patience(service, consumer, self.status)
        self._giving_up = GivingUp(
            service, consumer, producer, self.status, self._patience, poison_limit
        )
        self._handling = Handling(
            service, consumer, self.status, self._patience, self._giving_up, note
        )
        for topic in subscriptions:
            measure_from_zero(service, topic)
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._busy: dict[TopicPartition, asyncio.Task[None]] = {}
        self._stop = self._patience.stop

    async def run(self, stop: asyncio.Event) -> None:
        """Consume until stopped, finishing the batch at hand. Raises `OffsetLost` when records were deleted
        before they were read: that ends the process, because going on would hide the loss."""
        self._stop = self._patience.stop = stop
        lost: OffsetLost | None = None
        async with asyncio.TaskGroup() as group:
            try:
                await self._feed(group)
            except OffsetLost as error:
                lost = error
        if lost is not None:
            raise lost

    async def replay(self, record: Record) -> None:
        """Handle one dead letter again, outside the loop. Raises what the handler raises, or `Undecodable`."""
        subscription = self._subscriptions[record.topic]
        received = subscription.decode(record)
        if received is not None:
            with traced(received.traceparent):
                await subscription.handle([received])

    async def _feed(self, group: asyncio.TaskGroup) -> None:
        """Fetch for the partitions that nothing is handled of, so that each is in one batch at any time."""
        attempt = 0
        while not self._stop.is_set():
            try:
                fetched = await self._fetch(self._busy)
            except Unavailable as error:
                await self._patience.wait([None], attempt, error)
                attempt += 1
                continue
            attempt = 0
            self._patience.over([None])
            self._giving_up.forget_stopped(fetched)
            for some in self._read(fetched):
                if len(some) > 1:
                    task = group.create_task(self._together(group, some))
                    self._busy |= dict.fromkeys(some, task)
                else:
                    self._apart(group, some)
            await self._breathe(found=bool(fetched))
            self._busy = {at: task for at, task in self._busy.items() if not task.done()}

    async def _breathe(self, *, found: bool) -> None:
        """Wait until a batch is done: for a moment when there was nothing to fetch, and as long as it takes when
        enough are under way."""
        under_way = set(self._busy.values())
        if under_way and (not found or len(under_way) > AT_ONCE):
            seconds = None if found else _REST_SECONDS
            await asyncio.wait(under_way, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)

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

    def _read(
        self, fetched: Mapping[TopicPartition, Sequence[Record]]
    ) -> Collection[ReadByPartition]:
        """What was fetched, decoded, topic by topic."""
        found: dict[str, dict[TopicPartition, list[Read]]] = defaultdict(dict)
        for at, records in fetched.items():
            subscription = self._subscriptions[at.topic]
            found[at.topic][at] = [read(record, subscription) for record in records]
        return found.values()

    async def _together(self, group: asyncio.TaskGroup, some: ReadByPartition) -> None:
        """Handle what is ours of it when its turn comes; what cannot be handled together goes apart, so that none
        waits for another's poison."""
        async with self._turns:
            with self._consumer.in_flight:
                ours = {at: found for at, found in some.items() if self._ours(at)}
                subscription = self._subscriptions[next(iter(some)).topic]
                done = not ours or await self._handling.together(ours, subscription)
        self._patience.over(some)
        if not done:
            self._apart(group, ours)

    def _apart(self, group: asyncio.TaskGroup, some: ReadByPartition) -> None:
        for partition, found in some.items():
            self._busy[partition] = group.create_task(self._alone(partition, found))

    async def _alone(self, partition: TopicPartition, found: Sequence[Read]) -> None:
        """Handle what was fetched of a partition when its turn comes, unless it was taken away meanwhile."""
        async with self._turns:
            with self._consumer.in_flight:
                if self._ours(partition):
                    subscription = self._subscriptions[partition.topic]
                    await self._handling.alone(partition, found, subscription)
        self._patience.over([partition])

    def _ours(self, partition: TopicPartition) -> bool:
        return not self._stop.is_set() and self._consumer.owns(partition)
