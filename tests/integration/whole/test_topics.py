"""The registry says who reads and writes which topic, and Kafka's users may do no more: so services do just that."""

import shutil
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from services.cli.compose import Origin
from services.cli.paths import SERVICES
from shared.contracts.topics import WRITERS, is_dead_letter_topic, topics_read
from shared.http.serve import Service
from shared.log import Consumer, Log, Outgoing, Producer, TopicPartition
from tests.integration.conftest import open_all
from tests.integration.whole.test_workspaces import populate
from tests.support import eventually, working, write_access

INLET = "acme-in"
URL = "http://afterword.test"


class NotingProducer:
    """Sends through another producer, and notes to which topics."""

    def __init__(self, inner: Producer, sent: set[str]) -> None:
        self._inner = inner
        self._sent = sent

    async def send(self, records: Sequence[Outgoing]) -> Mapping[TopicPartition, int]:
        self._sent |= {str(record.topic) for record in records}
        return await self._inner.send(records)


class NotingLog:
    """A service's way to the log, which notes what it subscribes to, as which group, and what it sends."""

    def __init__(self, inner: Log) -> None:
        self._inner = inner
        self.sent: set[str] = set()
        self.read: defaultdict[str, set[str]] = defaultdict(set)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    @asynccontextmanager
    async def producer(self) -> AsyncIterator[Producer]:
        async with self._inner.producer() as producer:
            yield NotingProducer(producer, self.sent)

    def consumer(self, group: str, topics: Sequence[str]) -> AbstractAsyncContextManager[Consumer]:
        self.read[group] |= {str(topic) for topic in topics}
        return self._inner.consumer(group, topics)


async def test_services_read_and_write_what_the_registry_says(
    migrated_directory: Path, tmp_path: Path
) -> None:
    keys = write_access(tmp_path / "access.yaml", {"acme": {"inlets": [INLET]}})
    shutil.copytree(migrated_directory, tmp_path / "database")
    logs: dict[str, Any] = {}

    def noting(service: str, log: Log) -> Any:
        return logs.setdefault(service, NotingLog(log))

    url = f"sqlite:///{tmp_path / 'database'}"
    async with open_all(url, tmp_path, URL, noting) as (services, _):
        await _live_until(services, keys["acme"], lambda: _expected() == _announced(logs))
    for service in SERVICES:
        assert logs[service].read == {service: set(topics_read(service, [INLET]))}


def _expected() -> dict[str, set[str]]:
    return {service: set(map(str, topics)) for service, topics in WRITERS.items()}


def _announced(logs: dict[str, Any]) -> dict[str, set[str]]:
    return {
        name: {topic for topic in log.sent if not is_dead_letter_topic(topic)}
        for name, log in logs.items()
    }


async def _live_until(services: Sequence[Service], key: str, done: Callable[[], bool]) -> None:
    """One of everything there is, from the definitions to the delivery of an alert; what is announced comes after."""

    async def look() -> bool | None:
        return done() or None

    client = httpx.AsyncClient(
        transport=httpx.ASGITransport(app=Origin(services)),
        base_url=URL,
        headers={"authorization": f"Bearer {key}"},
    )
    async with client, working(*services):
        await populate(client)
        await eventually(look, what="each service to write what the registry says, and no more")
