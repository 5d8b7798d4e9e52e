"""The log in one SQLite file: the same contract as Kafka's, for one process on one machine."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from urllib.parse import parse_qs

from shared.contracts.partitioner import partition_of
from shared.errors import GroupInUse, StartupError, Unavailable
from shared.log import Consumer, Lag, Outgoing, Producer, Record, TopicPartition, TopicSpec
from shared.log.embedded.groups import Groups
from shared.log.embedded.lock import hold_directory
from shared.log.embedded.storage import Storage
from shared.log.embedded.sweeping import sweep_for_ever
from shared.log.limits import refuse_oversized

SWEEP_SECONDS = 60.0


class EmbeddedLog:
    """Owns its directory: a second process there is refused. What is acknowledged survives a power loss."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._groups = Groups(storage)

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str) -> AsyncIterator["EmbeddedLog"]:
        """Open `sqlite:///DIRECTORY[?sweep_seconds=60]`; raises `StartupError` when that cannot be done."""
        directory, sweep_seconds = _parse(url)
        with hold_directory(directory):
            try:
                storage = await asyncio.to_thread(Storage, directory / "log.db")
            except (sqlite3.Error, OSError) as error:
                raise StartupError(f"the log in {directory} cannot be opened: {error}") from error
            sweeping: asyncio.Task[None] | None = None
            try:
                await storage.start()
                sweeping = asyncio.create_task(
                    sweep_for_ever(storage, sweep_seconds), name="sweep log"
                )
                yield cls(storage)
            finally:
                if sweeping is not None:
                    sweeping.cancel()
                    await asyncio.wait({sweeping})
                await storage.close()

    @property
    def lingering_seconds(self) -> float:
        """Members are in this process, and end with it."""
        return 0.0

    @asynccontextmanager
    async def producer(self) -> AsyncIterator[Producer]:
        yield EmbeddedProducer(self._storage)

    @asynccontextmanager
    async def consumer(self, group: str, topics: Sequence[str]) -> AsyncIterator[Consumer]:
        member = self._groups.join(group, topics)
        try:
            yield member
        finally:
            self._groups.leave(member)

    async def create_topics(self, specs: Sequence[TopicSpec]) -> list[str]:
        created = await self._storage.create_topics(specs)
        self._groups.rebalance_all()
        return created

    async def verify_topics(self, specs: Sequence[TopicSpec]) -> list[str]:
        differences: list[str] = []
        for spec in specs:
            there = self._storage.topics.get(spec.name)
            if there is None:
                differences.append(f"topic {spec.name} does not exist")
                continue
            differences += [
                f"topic {spec.name} has {name}={getattr(there, name)}, not {getattr(spec, name)}"
                for name in ("partitions", "retention_ms", "compacted")
                if getattr(there, name) != getattr(spec, name)
            ]
        return differences

    async def lag(self, group: str, topics: Sequence[str]) -> Mapping[TopicPartition, Lag]:
        partitions = self._storage.partitions(topics)
        committed = await self._storage.committed(group)
        return {at: Lag(*self._storage.bounds(at), committed.get(at)) for at in partitions}

    async def read(
        self, partition: TopicPartition, offset: int, *, max_records: int
    ) -> Sequence[Record]:
        start, _ = self._storage.bounds(partition)
        return await self._storage.read(partition, max(offset, start), max_records)

    async def first_since(
        self, topics: Sequence[str], moment: datetime
    ) -> Mapping[TopicPartition, int]:
        since_ms = int(moment.timestamp() * 1000)
        return {
            at: await self._storage.first_since(at, since_ms)
            for at in self._storage.partitions(topics)
        }

    async def move(self, group: str, next_offsets: Mapping[TopicPartition, int]) -> None:
        if self._groups.has_members(group):
            raise GroupInUse(f"group {group} has members: stop the service")
        await self._storage.commit(group, next_offsets)


class EmbeddedProducer:
    """Implements `Producer`; all sends that wait share one database transaction and one flush to disk."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    async def send(self, records: Sequence[Outgoing]) -> Mapping[TopicPartition, int]:
        if not records:
            return {}
        refuse_oversized(records)
        by_partition: dict[TopicPartition, list[Outgoing]] = {}
        for record in records:
            spec = self._storage.topics.get(record.topic)
            if spec is None:
                raise Unavailable(f"no such topic: {record.topic}; create the topics first")
            at = TopicPartition(record.topic, partition_of(record.key, spec.partitions))
            by_partition.setdefault(at, []).append(record)
        return await self._storage.append(by_partition)


def _parse(url: str) -> tuple[Path, float]:
    directory, _, options = url.removeprefix("sqlite:///").partition("?")
    query = parse_qs(options)
    try:
        sweep_seconds = float(query.pop("sweep_seconds", [str(SWEEP_SECONDS)])[-1])
    except ValueError:
        sweep_seconds = 0.0
    if query or sweep_seconds <= 0 or not directory:
        raise StartupError(
            "an embedded log's URL reads sqlite:///DIRECTORY?sweep_seconds=SECONDS"
            " (sqlite:////var/lib/afterword for an absolute one)"
        )
    return Path(directory), sweep_seconds
