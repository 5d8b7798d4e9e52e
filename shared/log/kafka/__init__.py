"""The log on Apache Kafka; nothing outside this folder imports the Kafka client."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime

from shared.log import Consumer, Lag, Producer, Record, TopicPartition, TopicSpec
from shared.log.kafka.consumer import KafkaConsumer
from shared.log.kafka.moving import move
from shared.log.kafka.producer import KafkaProducer
from shared.log.kafka.quiet import quieten
from shared.log.kafka.reader import Reader
from shared.log.kafka.settings import CALL_SECONDS, REBALANCE_SECONDS, KafkaSettings
from shared.log.kafka.topics import TopicAdmin
from shared.log.login import NOBODY, Login


class KafkaLog:
    """A cluster named by its URL; opening never waits for a broker, each call says when none is there."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._topics = TopicAdmin(settings)
        self._reader = Reader(settings)

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str, login: Login = NOBODY) -> AsyncIterator["KafkaLog"]:
        """Raises `StartupError` when the URL cannot be understood, or what the login names cannot be used."""
        quieten()
        log = cls(KafkaSettings.parse(url, login))
        try:
            yield log
        finally:
            await log._reader.close()
            await log._topics.close()

    @property
    def lingering_seconds(self) -> float:
        """A silent member is dropped after its session, which does not run while a rebalance waits for others."""
        return self._settings.session_timeout_seconds + REBALANCE_SECONDS + CALL_SECONDS

    def producer(self) -> AbstractAsyncContextManager[Producer]:
        return KafkaProducer.open(self._settings)

    def consumer(self, group: str, topics: Sequence[str]) -> AbstractAsyncContextManager[Consumer]:
        return KafkaConsumer.open(self._settings, group, topics)

    async def create_topics(self, specs: Sequence[TopicSpec]) -> list[str]:
        return await self._topics.create(specs)

    async def verify_topics(self, specs: Sequence[TopicSpec]) -> list[str]:
        return await self._topics.verify(specs)

    async def lag(self, group: str, topics: Sequence[str]) -> Mapping[TopicPartition, Lag]:
        partitions = await self._topics.partitions(topics)
        committed = await self._topics.committed(group)
        starts, ends = await self._reader.bounds(partitions)
        return {
            at: Lag(starts[at], ends[at], *committed.get(at, (None, False))) for at in partitions
        }

    async def read(
        self, partition: TopicPartition, offset: int, *, max_records: int
    ) -> Sequence[Record]:
        return await self._reader.read(partition, offset, max_records)

    async def first_since(
        self, topics: Sequence[str], moment: datetime
    ) -> Mapping[TopicPartition, int]:
        return await self._reader.first_since(await self._topics.partitions(topics), moment)

    async def move(self, group: str, next_offsets: Mapping[TopicPartition, int]) -> None:
        await move(self._settings, group, next_offsets)
