"""Fakes of our own protocols: a log in memory whose every step a test can see and break."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from shared.errors import Unavailable
from shared.log import Headers, InFlight, Outgoing, Record, TopicPartition
from shared.tracing import Attributes, Beginning, Span


def record(
    topic: str,
    offset: int,
    value: bytes | None = b"{}",
    *,
    key: bytes | None = b"acme/c1",
    partition: int = 0,
    headers: Headers = (),
) -> Record:
    """A record as it would stand in the log."""
    return Record(topic, partition, offset, key, value, headers, 1_700_000_000_000)


@dataclass(frozen=True)
class _Batch:
    records: Mapping[TopicPartition, Sequence[Record]]
    revoke: TopicPartition | None = None
    anew: bool = False


class FakeConsumer:
    """Hands out the batches it was given, then stops the loop; remembers what was committed and stopped."""

    def __init__(
        self, stop: asyncio.Event, *batches: Mapping[TopicPartition, Sequence[Record]]
    ) -> None:
        self.in_flight = InFlight()
        self.committed: dict[TopicPartition, int] = {}
        self.stopped: list[TopicPartition] = []
        self.rewound: list[TopicPartition] = []
        self.revoked: set[TopicPartition] = set()
        self.commit_failures: list[Exception] = []
        self.lost_when_rewinding = False
        self._stop = stop
        self._assigned: set[TopicPartition] = set()
        self._paused: set[TopicPartition] = set()
        self._batches = [_Batch(batch) for batch in batches]

    def then(
        self,
        batch: Mapping[TopicPartition, Sequence[Record]],
        *,
        revoke: TopicPartition | None = None,
        anew: bool = False,
    ) -> None:
        """Hand out one more batch, after taking a partition away or assigning those of the batch anew."""
        self._batches.append(_Batch(batch, revoke, anew))

    async def fetch(
        self,
        *,
        max_records: int,
        timeout_seconds: float,
        without: Collection[TopicPartition] = (),
    ) -> Mapping[TopicPartition, Sequence[Record]]:
        await asyncio.sleep(0)
        before = set(without)
        for number, batch in enumerate(self._batches):
            held_back = before if batch.anew else before | self._paused
            ready = {at: found for at, found in batch.records.items() if at not in held_back}
            if ready or not batch.records:
                rest = {at: found for at, found in batch.records.items() if at in held_back}
                self._batches[number : number + 1] = [_Batch(rest)] if rest else []
                self.revoked |= {batch.revoke} if batch.revoke else set()
                self._paused -= ready.keys()
                self._assigned |= ready.keys()
                return ready
            before |= batch.records.keys()
        if not without:
            self._stop.set()
        return {}

    def owns(self, partition: TopicPartition) -> bool:
        return partition not in self.revoked

    def assigned(self) -> frozenset[TopicPartition]:
        return frozenset(self._assigned - self.revoked)

    def joined(self) -> bool:
        return True

    async def commit(self, next_offsets: Mapping[TopicPartition, int]) -> None:
        if self.commit_failures:
            raise self.commit_failures.pop(0)
        self.committed |= next_offsets

    def stop_partition(self, partition: TopicPartition) -> None:
        self.stopped.append(partition)
        self._paused.add(partition)

    async def seek_committed(self, partition: TopicPartition) -> None:
        if self.lost_when_rewinding:
            self.revoked.add(partition)
            raise Unavailable("log")
        self.rewound.append(partition)


class FakeProducer:
    """Keeps what was sent; fails as often as it is told to."""

    def __init__(self, *failures: Exception) -> None:
        self.sent: list[Outgoing] = []
        self.failures = list(failures)

    async def send(self, records: Sequence[Outgoing]) -> Mapping[TopicPartition, int]:
        """All goes to the first partition of its topic."""
        if self.failures:
            raise self.failures.pop(0)
        self.sent += records
        topics = [record.topic for record in self.sent]
        return {TopicPartition(topic, 0): topics.count(topic) for topic in topics}


class Flaky:
    """A handler that fails as told, and remembers what it has handled."""

    def __init__(self, *failures: Exception, poison: frozenset[int] = frozenset()) -> None:
        self.batches: list[list[int]] = []
        self._failures = list(failures)
        self._poison = poison

    async def __call__(self, batch: Sequence[object]) -> None:
        if self._failures:
            raise self._failures.pop(0)
        offsets = [received.record.offset for received in batch]  # type: ignore[attr-defined]  # a Received
        if self._poison & set(offsets):
            raise ValueError("poison")
        self.batches.append(offsets)


class NotedSpan(Span):
    """A span that says what was done to it."""

    recorded = True

    def __init__(self, beginning: Beginning, number: int) -> None:
        self.traceparent: str = f"00-{'e' * 32}-{number:016x}-01"
        self.name = beginning.name
        self.parent = beginning.parent
        self.links = beginning.links
        self.attributes = dict(beginning.attributes)
        self.failed: str | None = None
        self.ended = False

    def tell(self, attributes: Attributes, *, name: str | None = None) -> None:
        self.attributes |= attributes
        self.name = name or self.name

    def fail(self, kind: str) -> None:
        self.failed = kind

    def end(self) -> None:
        self.ended = True


class NotingTracer:
    """Begins spans and remembers them."""

    def __init__(self, ratio: float) -> None:
        self.ratio = ratio
        self.begun: list[NotedSpan] = []

    def start(self, span: Beginning) -> Span:
        self.begun.append(NotedSpan(span, len(self.begun) + 1))
        return self.begun[-1]
