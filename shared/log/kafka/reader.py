"""Reads a Kafka log outside any group: where partitions begin and end, and records by offset."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime

import aiokafka

from shared.errors import Unavailable
from shared.log import Record, TopicPartition
from shared.log.kafka.connecting import Connection
from shared.log.kafka.settings import CALL_SECONDS, KafkaSettings, unavailable


class Reader:
    """One client without a group, connected at its first use and kept."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._connection = Connection(settings, "reading", self._start, _stop)
        self._turn = asyncio.Lock()
        self._goes_on_at: tuple[TopicPartition, int] | None = None

    async def bounds(
        self, partitions: Sequence[TopicPartition]
    ) -> tuple[Mapping[TopicPartition, int], Mapping[TopicPartition, int]]:
        """First and next offset of each partition. Raises `Unavailable`."""
        client = await self._connection.get(CALL_SECONDS)
        there = [self._settings.theirs(at) for at in partitions]
        with unavailable("looking up where partitions begin and end"):
            async with asyncio.timeout(CALL_SECONDS):
                starts, ends = await asyncio.gather(
                    client.beginning_offsets(there), client.end_offsets(there)
                )
        return _ours(self._settings, starts), _ours(self._settings, ends)

    async def first_since(
        self, partitions: Sequence[TopicPartition], moment: datetime
    ) -> Mapping[TopicPartition, int]:
        """The first offset of each that was appended then or later, else its end. Raises `Unavailable`."""
        _, ends = await self.bounds(partitions)
        client = await self._connection.get(CALL_SECONDS)
        since_ms = int(moment.timestamp() * 1000)
        with unavailable(f"looking up what was appended since {moment.isoformat()}"):
            async with asyncio.timeout(CALL_SECONDS):
                found = await client.offsets_for_times(
                    {self._settings.theirs(at): since_ms for at in partitions}
                )
        firsts = {self._settings.ours(at): first.offset for at, first in found.items() if first}
        return {at: firsts.get(at, ends[at]) for at in partitions}

    async def read(self, at: TopicPartition, offset: int, max_records: int) -> Sequence[Record]:
        """What stands from the offset on, at once; nothing when the log ends there. Raises `Unavailable`."""
        starts, ends = await self.bounds([at])
        offset = max(offset, starts[at])
        if offset >= ends[at]:
            return []
        async with self._turn:
            client = await self._connection.get(CALL_SECONDS)
            there = self._settings.theirs(at)
            if self._goes_on_at != (at, offset):
                client.assign([there])
                client.seek(there, offset)
            self._goes_on_at = None
            with unavailable(f"reading {at.topic}/{at.partition} from {offset}"):
                async with asyncio.timeout(CALL_SECONDS):
                    fetched = await client.getmany(
                        timeout_ms=int(CALL_SECONDS * 1000), max_records=max_records
                    )
            records = [self._settings.record(raw) for raw in fetched.get(there, ())]
            if not records:
                raise Unavailable(
                    f"Kafka gave no records of {at.topic}/{at.partition} from {offset} in time"
                )
            self._goes_on_at = (at, records[-1].offset + 1)
            return records

    async def close(self) -> None:
        await self._connection.close()

    async def _start(self) -> aiokafka.AIOKafkaConsumer:
        client = aiokafka.AIOKafkaConsumer(
            **self._settings.client_options(CALL_SECONDS),
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            fetch_min_bytes=1,
            fetch_max_wait_ms=100,
            # A look takes a record or a page of each partition, and the client reads ahead: of a backlog, megabytes each time.
            # A batch that is larger comes whole all the same.
            max_partition_fetch_bytes=64 * 1024,
        )
        try:
            await client.start()
        except BaseException:
            await client.stop()
            raise
        return client


def _ours(
    settings: KafkaSettings, offsets: Mapping[aiokafka.TopicPartition, int]
) -> dict[TopicPartition, int]:
    return {settings.ours(at): offset for at, offset in offsets.items()}


async def _stop(client: aiokafka.AIOKafkaConsumer) -> None:
    await client.stop()
