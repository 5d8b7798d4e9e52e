"""The log protocol: what the services need of Kafka, kept so small that a file can serve it too."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol

import msgspec

from shared.contracts.topics import TopicSpec
from shared.log.in_flight import InFlight

Headers = tuple[tuple[str, bytes], ...]


class TopicPartition(NamedTuple):
    """One partition of one topic, by the name in `shared.contracts.topics` (never the prefixed one)."""

    topic: str
    partition: int


class Outgoing(msgspec.Struct, frozen=True, gc=False):
    """A record to append; its partition follows from the key by the one partitioner."""

    topic: str
    key: bytes
    value: bytes | None
    headers: Headers = ()


class Record(msgspec.Struct, frozen=True, gc=False):
    """A record as it stands in the log; `timestamp_ms` is the log's own append time."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    timestamp_ms: int

    @property
    def at(self) -> TopicPartition:
        return TopicPartition(self.topic, self.partition)


@dataclass(frozen=True, slots=True)
class Lag:
    """Where a group stands in one partition; `committed` is None before its first commit, and `moved` says that
    another than we committed it: an operator with Kafka's own tools, or code from before commits were signed."""

    start: int
    end: int
    committed: int | None
    moved: bool = False

    @property
    def records(self) -> int:
        return self.end - max(
            self.start, self.committed if self.committed is not None else self.start
        )


class Producer(Protocol):
    """Appends records; many concurrent sends share batches."""

    async def send(self, records: Sequence[Outgoing]) -> Mapping[TopicPartition, int]:
        """Return once every record is durable (acks=all), in order per partition: where each partition that the log
        told of goes on after them.

        Raises `Unavailable` when that is not known in time (a record may still land later) and
        `Refused` when one record can never be taken (records before and after it may have landed).
        """


class Consumer(Protocol):
    """One member of a consumer group; it joins with its first fetch."""

    in_flight: InFlight
    """Entered by the loop while it handles a partition's records; a rebalance waits for it."""

    async def fetch(
        self,
        *,
        max_records: int,
        timeout_seconds: float,
        without: Collection[TopicPartition] = (),
    ) -> Mapping[TopicPartition, Sequence[Record]]:
        """The next records, by partition and in order, of all partitions but those; empty after the timeout.

        Raises `OffsetLost` when a committed offset is below the log's start, `Unavailable` otherwise.
        """

    def owns(self, partition: TopicPartition) -> bool:
        """Whether records were fetched of it since it was assigned. False as soon as its revocation begins: what
        was fetched of it must be dropped, even if it comes straight back."""

    def assigned(self) -> frozenset[TopicPartition]: ...

    def joined(self) -> bool:
        """Whether an assignment holds; that of a spare member may be empty."""

    async def commit(self, next_offsets: Mapping[TopicPartition, int]) -> None:
        """Store where the group goes on. A partition lost meanwhile is not an error: its new owner replays."""

    def stop_partition(self, partition: TopicPartition) -> None:
        """Fetch nothing more of it until this process restarts or the partition is assigned anew."""

    async def seek_committed(self, partition: TopicPartition) -> None:
        """Forget what was fetched and go on from the committed offset."""


class Log(Protocol):
    """A durable partitioned log: Apache Kafka, or a SQLite file for the embedded mode."""

    @property
    def lingering_seconds(self) -> float:
        """For how long a process that was killed may still count as a member of its group."""

    def producer(self) -> AbstractAsyncContextManager[Producer]: ...

    def consumer(
        self, group: str, topics: Sequence[str]
    ) -> AbstractAsyncContextManager[Consumer]: ...

    async def create_topics(self, specs: Sequence[TopicSpec]) -> list[str]:
        """Create what is missing; return the names created. Idempotent."""

    async def verify_topics(self, specs: Sequence[TopicSpec]) -> list[str]:
        """One sentence for each difference between the log and the specs; empty when all is well."""

    async def lag(self, group: str, topics: Sequence[str]) -> Mapping[TopicPartition, Lag]:
        """Where the group stands in each partition. Raises `Unavailable`; also serves as a probe."""

    async def read(
        self, partition: TopicPartition, offset: int, *, max_records: int
    ) -> Sequence[Record]:
        """Records from an offset on, outside any group; from the log's start when it is below. Never waits."""

    async def first_since(
        self, topics: Sequence[str], moment: datetime
    ) -> Mapping[TopicPartition, int]:
        """The first offset of each partition that was appended at that moment or later, else its end."""

    async def move(self, group: str, next_offsets: Mapping[TopicPartition, int]) -> None:
        """Have a group go on from there, whatever it has committed. Raises `Unavailable`, and `GroupInUse` while the
        group has a member, which would not notice."""


__all__ = [
    "Consumer",
    "Headers",
    "InFlight",
    "Lag",
    "Log",
    "Outgoing",
    "Producer",
    "Record",
    "TopicPartition",
    "TopicSpec",
]
