"""A migrated ingest service on either database, with a real log and an inlet for each workspace."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from services.ingest.main import open_service
from services.ingest.settings import Settings
from shared.auth import Access
from shared.contracts.topics import PARTITIONS, topic_specs
from shared.db import Database, open_database
from shared.http.serve import Service
from shared.log import Log, Record, TopicPartition
from shared.log.opening import open_log
from tests.integration.ingest.answering import Desk, open_desk
from tests.support import TOKEN_KEYS, working, write_access


@dataclass
class Ingest:
    """The service under test: its routes, its loops, its database and its log."""

    service: Service
    database: Database
    log: Log
    client: httpx.AsyncClient
    keys: Mapping[str, str]

    async def call(
        self, method: str, path: str, *, workspace: str = "acme", **parts: Any
    ) -> httpx.Response:
        """A request with the workspace's key."""
        headers = {"authorization": f"Bearer {self.keys[workspace]}"} | parts.pop("headers", {})
        return await self.client.request(method, path, headers=headers, **parts)

    def working(self) -> AbstractAsyncContextManager[None]:
        """Run the service's loops, as `serve` does."""
        return working(self.service)

    async def records(self, topic: str) -> list[Record]:
        """All records of a topic, partition by partition."""
        found: list[Record] = []
        for partition in range(PARTITIONS):
            found += await self.log.read(TopicPartition(topic, partition), 0, max_records=10_000)
        return found


@pytest.fixture
async def desk(database_url: str, tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_desk(database_url, tmp_path) as desk:
        yield desk


@pytest.fixture
async def ingest(database_url: str, tmp_path: Path) -> AsyncIterator[Ingest]:
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(open_database(database_url, "ingest"))
        database.gate = None
        workspaces = {"acme": {"inlets": ["acme-in"]}, "other": {"inlets": ["other-in"]}}
        keys = write_access(tmp_path / "access.yaml", workspaces)
        settings = Settings(
            log_url=f"sqlite:///{tmp_path / 'log'}",
            database_url=database_url,
            access_file=tmp_path / "access.yaml",
            token_keys=SecretStr(TOKEN_KEYS),
        )
        access = Access.load(settings.access_file)
        log = await stack.enter_async_context(open_log(settings.log_url))
        await log.create_topics(topic_specs(access.inlets()))
        service = await stack.enter_async_context(open_service(settings, log, access))
        client = await stack.enter_async_context(
            httpx.AsyncClient(
                transport=httpx.ASGITransport(app=service.app), base_url="http://ingest"
            )
        )
        yield Ingest(service, database, log, client, keys)
