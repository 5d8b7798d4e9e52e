"""The Kafka producer: concurrent sends share batches and requests, at most one batch in flight per partition.

Records wait in memory until the broker answers; how many may wait is for the caller to bound.
"""

import asyncio
import heapq
import itertools
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import TypeAlias

import aiokafka
from aiokafka.errors import (
    InvalidMessageError,
    InvalidTimestampError,
    KafkaError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
)
from aiokafka.producer.message_accumulator import BatchBuilder

from shared.contracts.partitioner import partition_of
from shared.errors import Refused, Unavailable
from shared.log import Outgoing, TopicPartition
from shared.log.kafka.connecting import Connection
from shared.log.kafka.settings import KafkaSettings, reason, unavailable
from shared.log.limits import refuse_oversized

BATCH_BYTES = 256 * 1024
REQUEST_SECONDS = 15.0
_GATHER_SECONDS = 0.002
"""How long what is ready waits after a landing for what those who were just answered send next."""
_LINGER_SECONDS = 0.02
"""How long what is ready waits at most for batches that are under way, in case that one of them hangs."""
STOP_SECONDS = 5.0
_NO_HEADERS: list[tuple[str, bytes]] = []
_NEVER_TAKEN = (
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    InvalidMessageError,
    InvalidTimestampError,
)


class _Send:
    """One call of `send`: how many of its records have not landed, and the future that its caller awaits."""

    __slots__ = ("deadline", "done", "ends", "failure", "left")

    def __init__(
        self, records: int, deadline: float, done: "asyncio.Future[dict[TopicPartition, int]]"
    ) -> None:
        self.left = records
        self.deadline = deadline
        self.done = done
        self.ends: dict[TopicPartition, int] = {}
        self.failure: Exception | None = None

    def landed(self) -> None:
        self.left -= 1
        if self.left == 0 and not self.done.done():
            if self.failure is None:
                self.done.set_result(self.ends)
            else:
                self.done.set_exception(self.failure)

    def failed(self, error: Exception) -> None:
        """One record failed; what can never be sent is told rather than what may be tried again."""
        if self.failure is None or isinstance(error, Refused):
            self.failure = error
        self.landed()


_Waiting: TypeAlias = tuple[_Send, int, Outgoing]


class _Lane:
    """One partition: what waits for it, and the task that has a batch of it under way."""

    __slots__ = ("at", "task", "waiting")

    def __init__(self, at: TopicPartition) -> None:
        self.at = at
        self.waiting: deque[_Waiting] = deque()
        self.task: asyncio.Task[None] | None = None


class KafkaProducer:
    """Implements `Producer`; a record whose sender gave up before its batch was made is not sent at all.

    What comes while batches are under way leaves together when they land: the client makes one request of the
    batches that are ready for a broker, and each batch costs as much as a dozen records in it.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._connection = Connection(settings, "producer", self._start, _stop)
        self._lanes: dict[str, list[_Lane]] = {}
        self._known: dict[str, list[_Lane]] = {}
        """The lanes of those topics whose partitions have been looked up since the client last asked for metadata."""
        self._ready: dict[_Lane, None] = {}
        self._under_way = 0
        self._departure: asyncio.TimerHandle | None = None
        self._sends: list[tuple[float, int, _Send]] = []
        self._sent = itertools.count()
        self._expiry: asyncio.TimerHandle | None = None

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: KafkaSettings) -> AsyncIterator["KafkaProducer"]:
        producer = cls(settings)
        producer._connection.begin()
        try:
            yield producer
        finally:
            await producer._close()

    async def send(self, records: Sequence[Outgoing]) -> Mapping[TopicPartition, int]:
        if not records:
            return {}
        refuse_oversized(records)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._settings.send_timeout_seconds
        known = self._known
        topics = {record.topic for record in records}
        if self._connection.client is None or not topics <= known.keys():
            known = {topic: await self._lanes_of(topic, deadline) for topic in topics}
        send = _Send(len(records), deadline, loop.create_future())
        for index, record in enumerate(records):
            lanes = known[record.topic]
            lane = lanes[partition_of(record.key, len(lanes))]
            lane.waiting.append((send, index, record))
            if lane.task is None:
                self._ready[lane] = None
        self._expect(send)
        self._depart()
        return await send.done

    async def _lanes_of(self, topic: str, deadline: float) -> list[_Lane]:
        count = await self._partitions(topic, deadline)
        lanes = self._lanes.setdefault(topic, [])
        lanes += [_Lane(TopicPartition(topic, partition)) for partition in range(len(lanes), count)]
        known = self._known[topic] = lanes[:count]
        return known

    def _expect(self, send: _Send) -> None:
        """Remember when to give it up: one timer for all, because nearly every send lands long before."""
        sends = self._sends
        while sends and sends[0][2].done.done():
            heapq.heappop(sends)
        heapq.heappush(sends, (send.deadline, next(self._sent), send))
        if self._expiry is None or send.deadline < self._expiry.when():
            self._arm(send.deadline)

    def _arm(self, deadline: float) -> None:
        if self._expiry is not None:
            self._expiry.cancel()
        self._expiry = asyncio.get_running_loop().call_at(deadline, self._expire)

    def _expire(self) -> None:
        at = asyncio.get_running_loop().time()
        self._expiry = None
        sends = self._sends
        while sends and (sends[0][2].done.done() or sends[0][0] <= at):
            _, _, late = heapq.heappop(sends)
            if not late.done.done():
                late.done.set_exception(
                    Unavailable(
                        f"Kafka did not acknowledge within {self._settings.send_timeout_seconds:g} s;"
                        " the records may still land"
                    )
                )
        for lane in itertools.chain.from_iterable(self._lanes.values()):
            while lane.waiting and lane.waiting[0][0].done.done():
                lane.waiting.popleft()
        if sends:
            self._arm(sends[0][0])

    async def _partitions(self, topic: str, deadline: float) -> int:
        """By the metadata at hand, as the client itself would answer, but without a timer where it need not ask."""
        there = self._settings.there(topic)
        client = self._connection.client
        if client is not None and (known := client.client.cluster.partitions_for_topic(there)):
            return len(known)
        loop = asyncio.get_running_loop()
        client = await self._connection.get(deadline - loop.time())
        try:
            with unavailable(f"looking up topic {topic}"):
                async with asyncio.timeout_at(deadline):
                    return len(await client.partitions_for(there))
        except Unavailable as error:
            raise Unavailable(
                f"topic {topic} is not there or no broker answers ({error})"
            ) from error

    def _depart(self) -> None:
        """Let what is ready leave: at once when nothing is under way, else soon after all of it has landed."""
        if self._departure is None:
            seconds = _LINGER_SECONDS if self._under_way else 0.0
            self._departure = asyncio.get_running_loop().call_later(seconds, self._leave)

    def _gather(self) -> None:
        if self._departure is not None:
            self._departure.cancel()
        loop = asyncio.get_running_loop()
        self._departure = loop.call_later(_GATHER_SECONDS, self._leave)

    def _leave(self) -> None:
        self._departure = None
        ready, self._ready = self._ready, {}
        self._under_way += len(ready)
        for lane in ready:
            lane.task = asyncio.create_task(self._carry(lane))

    async def _carry(self, lane: _Lane) -> None:
        """Send one batch of what waits for a partition, and make way for the next."""
        try:
            # Unbounded on purpose: each waiting send has its own deadline and leaves the lane by itself.
            client = self._connection.client or await self._connection.connected()
            batch, taken = _fill(client, lane.waiting)
            if taken:
                await self._deliver(client, batch, lane, taken)
        finally:
            lane.task = None
            self._under_way -= 1
            if lane.waiting:
                self._ready[lane] = None
            if self._ready and not self._under_way:
                self._gather()
            elif self._ready:
                self._depart()

    async def _deliver(
        self,
        client: aiokafka.AIOKafkaProducer,
        batch: BatchBuilder,
        lane: _Lane,
        taken: Sequence[_Waiting],
    ) -> None:
        topic = self._settings.there(lane.at.topic)
        try:
            landed = await (await client.send_batch(batch, topic, partition=lane.at.partition))
        except _NEVER_TAKEN as error:
            # The refused batch has used up sequence numbers: this client's next one would be out of order.
            self._connection.replace(client)
            await self._bisect(lane, taken, error)
        except (KafkaError, OSError, TimeoutError, AssertionError) as error:
            self._connection.replace(client)
            failure = Unavailable(
                f"Kafka did not take records for {lane.at.topic}: {reason(error)}"
            )
            for send, _, _ in taken:
                send.failed(failure)
        else:
            end = landed.offset + len(taken)
            for send, _, _ in taken:
                if landed.offset >= 0:  # a batch that was sent twice has none
                    send.ends[lane.at] = end
                send.landed()

    async def _bisect(self, lane: _Lane, taken: Sequence[_Waiting], error: KafkaError) -> None:
        """Send the halves of a refused batch again, in order, down to the one record that is refused."""
        if len(taken) == 1:
            send, index, record = taken[0]
            send.failed(
                Refused(f"Kafka refuses a record for topic {record.topic}: {reason(error)}", index)
            )
            return
        middle = len(taken) // 2
        for half in (taken[:middle], taken[middle:]):
            client = await self._connection.connected()
            batch = client.create_batch()
            for _, _, record in half:
                _append(batch, record)
            await self._deliver(client, batch, lane, half)

    async def _start(self) -> aiokafka.AIOKafkaProducer:
        client = aiokafka.AIOKafkaProducer(
            **self._settings.client_options(REQUEST_SECONDS),
            acks="all",
            enable_idempotence=True,
            max_batch_size=BATCH_BYTES,
            max_request_size=8 * 1024 * 1024,
            compression_type=None,
            linger_ms=0,
        )
        try:
            await client.start()
        except BaseException:
            await client.stop()
            raise
        self._known.clear()
        client.client.cluster.add_listener(lambda _cluster: self._known.clear())
        return client

    async def _close(self) -> None:
        for timer in (self._expiry, self._departure):
            if timer is not None:
                timer.cancel()
        for _, _, send in self._sends:
            if not send.done.done():
                send.done.set_exception(
                    Unavailable("the producer closes; the records may still land")
                )
        lanes = list(itertools.chain.from_iterable(self._lanes.values()))
        for lane in lanes:
            lane.waiting.clear()
        tasks = [lane.task for lane in lanes if lane.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._connection.close()


def _fill(
    client: aiokafka.AIOKafkaProducer, waiting: deque[_Waiting]
) -> tuple[BatchBuilder, list[_Waiting]]:
    """Make one batch of what waits, in order; what does not fit waits for the next."""
    batch = client.create_batch()
    taken: list[_Waiting] = []
    while waiting:
        send, _, record = waiting[0]
        if not send.done.done():
            if not _append(batch, record):
                break
            taken.append(waiting[0])
        waiting.popleft()
    return batch, taken


def _append(batch: BatchBuilder, record: Outgoing) -> bool:
    """Whether the record had room in the batch."""
    headers = list(record.headers) if record.headers else _NO_HEADERS
    made = batch.append(timestamp=None, key=record.key, value=record.value, headers=headers)
    return made is not None


async def _stop(client: aiokafka.AIOKafkaProducer) -> None:
    """Flush for a while; an idempotent producer alone would wait for a dead broker for ever."""
    stopping = asyncio.ensure_future(client.stop())
    await asyncio.wait({stopping}, timeout=STOP_SECONDS)
    if not stopping.done():
        stopping.cancel()
        with suppress(asyncio.CancelledError):
            await stopping
        sender = client._sender.sender_task
        if sender is not None:
            sender.cancel()
            await asyncio.wait({sender}, timeout=STOP_SECONDS)
        # Nobody else would ever resolve what is still waiting in this client.
        client._message_accumulator.fail_all(
            KafkaError("the producer was stopped before the broker answered")
        )
        await client.client.close()
    else:
        stopping.result()
