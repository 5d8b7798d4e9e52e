"""A migrated scoring service on either database, and responses to feed it."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from services.scoring.main import open_service
from services.scoring.settings import Settings
from services.scoring.worker import Counting
from shared.auth import Access
from shared.contracts.topics import topic_specs
from shared.db import Database, open_database
from shared.http.serve import Service
from shared.log import Log
from shared.log.opening import open_log
from tests.support import TOKEN_KEYS, write_access


@dataclass
class Scoring:
    """The service under test: its worker's handler, its routes and its log."""

    service: Service
    database: Database
    counting: Counting
    log: Log
    client: httpx.AsyncClient
    keys: dict[str, str]

    async def get(self, path: str, workspace: str = "acme", **params: Any) -> httpx.Response:
        """GET as the workspace's key."""
        headers = self.headers(workspace)
        return await self.client.get(path, params=params or None, headers=headers)

    async def scores(self, workspace: str = "acme", **params: Any) -> list[dict[str, Any]]:
        """The items of GET /v1/scores, which must answer 200."""
        answer = await self.get("/v1/scores", workspace, **params)
        assert answer.status_code == 200, answer.text
        items: list[dict[str, Any]] = answer.json()["items"]
        return items

    async def rebuild(self, workspace: str = "acme", **body: Any) -> httpx.Response:
        """POST a rebuild as the workspace's key."""
        path = "/v1/operations/scoring/rebuild"
        return await self.client.post(path, json=body, headers=self.headers(workspace))

    def headers(self, workspace: str) -> dict[str, str]:
        return {"authorization": f"Bearer {self.keys[workspace]}"}


@pytest.fixture
async def scoring(database_url: str, tmp_path: Path) -> AsyncIterator[Scoring]:
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(open_database(database_url, "scoring"))
        database.gate = None
        log = await stack.enter_async_context(open_log(f"sqlite:///{tmp_path / 'log'}"))
        await log.create_topics(topic_specs())
        keys = write_access(tmp_path / "access.yaml", limited={"east": {"org": ["cn/east"]}})
        settings = Settings(
            log_url=f"sqlite:///{tmp_path / 'log'}",
            database_url=database_url,
            access_file=tmp_path / "access.yaml",
            token_keys=SecretStr(TOKEN_KEYS),
        )
        access = Access.load(settings.access_file)
        service = await stack.enter_async_context(open_service(settings, log, access))
        transport = httpx.ASGITransport(app=service.app)
        client = await stack.enter_async_context(
            httpx.AsyncClient(transport=transport, base_url="http://scoring")
        )
        counting = Counting(database, settings.rollup)
        yield Scoring(service, database, counting, log, client, keys)
