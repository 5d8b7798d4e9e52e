"""The Kafka producer: concurrent sends share batches, at most one in flight per partition.

Records wait in memory until the broker answers; how many may wait is for the caller to bound.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
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
from shared.log import Outgoing
from shared.log.kafka.connecting import Connection
from shared.log.kafka.settings import KafkaSettings, reason, unavailable
from shared.log.limits import refuse_oversized

BATCH_BYTES = 256 * 1024
REQUEST_SECONDS = 15.0
STOP_SECONDS = 5.0
_NEVER_TAKEN = (
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    InvalidMessageError,
    InvalidTimestampError,
)


class _Slice:
    """The records of one send that go to one partition, and the future that stands for all of them."""

    __slots__ = ("done", "left", "next", "records")

    def __init__(self) -> None:
        self.records: list[tuple[int, Outgoing]] = []
        self.next = 0
        self.left = 0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def landed(self) -> None:
        self.left -= 1
        if self.left == 0 and not self.done.done():
            self.done.set_result(None)

    def fail(self, error: Exception) -> None:
        if not self.done.done():
            self.done.set_exception(error)


_Taken: TypeAlias = list[tuple[_Slice, int, Outgoing]]


class _Lane:
    """One partition: what waits for it, and the task that sends one batch after the other."""

    __slots__ = ("task", "waiting")

    def __init__(self) -> None:
        self.waiting: deque[_Slice] = deque()
        self.task: asyncio.Task[None] | None = None


class KafkaProducer:
    """Implements `Producer`; a record whose sender gave up before its batch was made is not sent at all."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._connection = Connection("producer", self._start, _stop)
        self._lanes: dict[tuple[str, int], _Lane] = {}

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: KafkaSettings) -> AsyncIterator["KafkaProducer"]:
        producer = cls(settings)
        producer._connection.begin()
        try:
            yield producer
        finally:
            await producer._close()

    async def send(self, records: Sequence[Outgoing]) -> None:
        if not records:
            return
        refuse_oversized(records)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._settings.send_timeout_seconds
        slices = await self._split(records, deadline)
        failure: Exception | None = None
        timer = loop.call_at(deadline, self._expire, slices)
        try:
            for at, piece in slices.items():
                self._enqueue(at, piece)
            for piece in slices.values():
                try:
                    await piece.done
                except (Refused, Unavailable) as error:
                    if failure is None or isinstance(error, Refused):
                        failure = error
        finally:
            timer.cancel()
            self._give_up(slices)
        if failure is not None:
            raise failure

    def _expire(self, slices: dict[tuple[str, int], _Slice]) -> None:
        for piece in slices.values():
            piece.fail(
                Unavailable(
                    f"Kafka did not acknowledge within {self._settings.send_timeout_seconds:g} s;"
                    " the records may still land"
                )
            )

    async def _split(
        self, records: Sequence[Outgoing], deadline: float
    ) -> dict[tuple[str, int], _Slice]:
        counts: dict[str, int] = {}
        slices: dict[tuple[str, int], _Slice] = {}
        for index, record in enumerate(records):
            count = counts.get(record.topic)
            if count is None:
                count = self._known_partitions(record.topic)
                count = counts[record.topic] = count or await self._partitions(
                    record.topic, deadline
                )
            at = (record.topic, partition_of(record.key, count))
            piece = slices.get(at)
            if piece is None:
                piece = slices[at] = _Slice()
            piece.records.append((index, record))
        for piece in slices.values():
            piece.left = len(piece.records)
        return slices

    def _known_partitions(self, topic: str) -> int:
        """By the metadata at hand, as the client itself would answer, but without a timer; 0 when it must ask."""
        client = self._connection.client
        if client is None:
            return 0
        return len(client.client.cluster.partitions_for_topic(self._settings.there(topic)) or ())

    async def _partitions(self, topic: str, deadline: float) -> int:
        loop = asyncio.get_running_loop()
        client = await self._connection.get(deadline - loop.time())
        try:
            with unavailable(f"looking up topic {topic}"):
                async with asyncio.timeout_at(deadline):
                    return len(await client.partitions_for(self._settings.there(topic)))
        except Unavailable as error:
            raise Unavailable(
                f"topic {topic} is not there or no broker answers ({error})"
            ) from error

    def _enqueue(self, at: tuple[str, int], piece: _Slice) -> None:
        lane = self._lanes.setdefault(at, _Lane())
        lane.waiting.append(piece)
        if lane.task is None or lane.task.done():
            lane.task = asyncio.create_task(self._run(at, lane), name=f"produce {at[0]}/{at[1]}")

    def _give_up(self, slices: dict[tuple[str, int], _Slice]) -> None:
        """Free what was not yet part of a batch of a send that ended early."""
        for at, piece in slices.items():
            piece.done.cancel()
            waiting = self._lanes[at].waiting if at in self._lanes else ()
            while waiting and waiting[0].done.done():
                waiting.popleft()

    async def _run(self, at: tuple[str, int], lane: _Lane) -> None:
        while lane.waiting:
            # Unbounded on purpose: each waiting send has its own deadline and leaves the lane by itself.
            client = await self._connection.connected()
            batch, taken = _fill(client, lane.waiting)
            if taken:
                await self._deliver(client, batch, at, taken)

    async def _deliver(
        self,
        client: aiokafka.AIOKafkaProducer,
        batch: BatchBuilder,
        at: tuple[str, int],
        taken: _Taken,
    ) -> None:
        topic, partition = at
        try:
            await (await client.send_batch(batch, self._settings.there(topic), partition=partition))
        except _NEVER_TAKEN as error:
            # The refused batch has used up sequence numbers: this client's next one would be out of order.
            self._connection.replace(client)
            await self._bisect(at, taken, error)
        except (KafkaError, OSError, TimeoutError, AssertionError) as error:
            self._connection.replace(client)
            for piece in dict.fromkeys(piece for piece, _, _ in taken):
                piece.fail(Unavailable(f"Kafka did not take records for {topic}: {reason(error)}"))
        else:
            for piece, _, _ in taken:
                piece.landed()

    async def _bisect(self, at: tuple[str, int], taken: _Taken, error: KafkaError) -> None:
        """Send the halves of a refused batch again, in order, down to the one record that is refused."""
        if len(taken) == 1:
            piece, index, record = taken[0]
            piece.fail(
                Refused(f"Kafka refuses a record for topic {record.topic}: {reason(error)}", index)
            )
            return
        middle = len(taken) // 2
        for half in (taken[:middle], taken[middle:]):
            client = await self._connection.connected()
            batch = client.create_batch()
            for _, _, record in half:
                batch.append(
                    timestamp=None, key=record.key, value=record.value, headers=list(record.headers)
                )
            await self._deliver(client, batch, at, half)

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
        return client

    async def _close(self) -> None:
        tasks = [
            lane.task
            for lane in self._lanes.values()
            if lane.task is not None and not lane.task.done()
        ]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._connection.close()


def _fill(client: aiokafka.AIOKafkaProducer, waiting: deque[_Slice]) -> tuple[BatchBuilder, _Taken]:
    """Make one batch of what waits, in order; a slice that does not fit stays with its rest."""
    batch = client.create_batch()
    append = batch.append
    taken: _Taken = []
    while waiting:
        piece = waiting[0]
        if not piece.done.done():
            for index, record in piece.records[piece.next :]:
                headers = list(record.headers) if record.headers else []
                if (
                    append(timestamp=None, key=record.key, value=record.value, headers=headers)
                    is None
                ):
                    return batch, taken
                taken.append((piece, index, record))
                piece.next += 1
        waiting.popleft()
    return batch, taken


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
