"""Gives each test of the contract both logs, one after the other, each with names of the test's own."""

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from shared.log import Log, TopicSpec
from shared.log.opening import open_log

DAY_MS = 24 * 60 * 60 * 1000


@dataclass(frozen=True, slots=True)
class OpenLog:
    """A log under test: its name, its URL, and how to make its oldest records disappear."""

    kind: str
    url: str
    log: Log
    delete_before: Callable[[str, int, int], Awaitable[None]]

    async def topic(self, name: str, partitions: int = 1, *, compacted: bool = False) -> str:
        await self.log.create_topics([TopicSpec(name, partitions, DAY_MS, compacted)])
        return name


@pytest.fixture(params=["embedded", "kafka"])
def log_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "embedded":
        return f"sqlite:///{tmp_path}/log"
    return f"{request.getfixturevalue('kafka_url')}?prefix=t{uuid.uuid4().hex[:8]}.&send_timeout=20"


@pytest.fixture
async def opened(log_url: str) -> AsyncIterator[OpenLog]:
    async with open_log(log_url) as log:
        if log_url.startswith("kafka"):
            yield OpenLog("kafka", log_url, log, _delete_in_kafka(log_url))
        else:
            yield OpenLog("embedded", log_url, log, _delete_in_file(log))


def _delete_in_kafka(url: str) -> Callable[[str, int, int], Awaitable[None]]:
    from aiokafka import TopicPartition as Theirs
    from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

    from shared.log.kafka.settings import KafkaSettings

    settings = KafkaSettings.parse(url)

    async def delete(topic: str, partition: int, before: int) -> None:
        admin = AIOKafkaAdminClient(**settings.client_options(10))
        await admin.start()
        try:
            at = Theirs(settings.there(topic), partition)
            await admin.delete_records({at: RecordsToDelete(before)})
        finally:
            await admin.close()

    return delete


def _delete_in_file(log: Log) -> Callable[[str, int, int], Awaitable[None]]:
    from shared.log import TopicPartition
    from shared.log.embedded import EmbeddedLog

    assert isinstance(log, EmbeddedLog)

    async def delete(topic: str, partition: int, before: int) -> None:
        await log._storage.delete(TopicPartition(topic, partition), range(before), before)

    return delete
