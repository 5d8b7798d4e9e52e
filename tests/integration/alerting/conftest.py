"""A migrated alerting service on either database, with its handler, its routes and its dispatcher."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from services.alerting.dispatch import Dispatcher
from services.alerting.main import open_service
from services.alerting.settings import Settings
from services.alerting.tables import deliveries
from services.alerting.worker import Judge
from shared.auth import Access
from shared.contracts.envelope import Received
from shared.contracts.messages import ResponseChanged
from shared.contracts.topics import topic_specs
from shared.db import Database, open_database
from shared.http.serve import Service
from shared.log import Log
from shared.log.opening import open_log
from shared.webhook.client import WebhookClient
from tests.support import TOKEN_KEYS, eventually, write_access

UNHAPPY = {"about": "response", "when": {"path": "answers.recommend", "lte": 6}}


@dataclass
class Alerting:
    """The service under test; its loops run only inside `dispatching` or `working`."""

    service: Service
    database: Database
    settings: Settings
    log: Log
    client: httpx.AsyncClient
    keys: dict[str, str]
    judge: Judge

    async def call(
        self,
        method: str,
        path: str,
        workspace: str = "acme",
        expect: int | None = None,
        **more: Any,
    ) -> httpx.Response:
        """Call a route with the workspace's key; `expect` is the status it must answer."""
        headers = {"authorization": f"Bearer {self.keys[workspace]}"}
        answer = await self.client.request(method, path, headers=headers, **more)
        assert expect is None or answer.status_code == expect, answer.text
        return answer

    async def get(self, path: str, workspace: str = "acme", **params: Any) -> Any:
        """The JSON of a GET that must answer 200."""
        return (await self.call("GET", path, workspace, expect=200, params=params)).json()

    async def put_rule(self, id: str = "unhappy", workspace: str = "acme", **fields: Any) -> None:
        answer = await self.call("PUT", f"/v1/alert-rules/{id}", workspace, json=UNHAPPY | fields)
        assert answer.status_code in (200, 201), answer.text

    async def put_endpoint(
        self, url: str, id: str = "crm", workspace: str = "acme", **fields: Any
    ) -> None:
        body = {"url": url} | fields
        answer = await self.call("PUT", f"/v1/endpoints/{id}", workspace, json=body)
        assert answer.status_code in (200, 201), answer.text

    async def secret(self, id: str = "crm", workspace: str = "acme") -> str:
        found: str = (await self.get(f"/v1/endpoints/{id}/secret", workspace))["secret"]
        return found

    async def handle(self, *batch: Received[ResponseChanged]) -> None:
        await self.judge.handle(batch)

    async def deliveries(self, workspace: str = "acme", **params: Any) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = (await self.get("/v1/deliveries", workspace, **params))[
            "items"
        ]
        return items

    async def settled(self, state: str, count: int = 1) -> list[dict[str, Any]]:
        """Wait until so many deliveries of acme are in a state."""

        async def look() -> list[dict[str, Any]] | None:
            found = await self.deliveries(state=state)
            return found if len(found) >= count else None

        return await eventually(look, what=f"{count} deliveries {state}")

    async def attempted(self, id: str, count: int) -> dict[str, Any]:
        """Wait until so many attempts at a delivery are recorded."""

        async def look() -> dict[str, Any] | None:
            found: dict[str, Any] = await self.get(f"/v1/deliveries/{id}")
            return found if found["attempts"] >= count else None

        return await eventually(look, what=f"attempt {count}")

    async def make_due(self, **values: Any) -> None:
        """Let the time pass that a retry or a lease waits for."""
        past = datetime.now(UTC) - timedelta(seconds=1)
        async with self.database.begin() as tx:
            await tx.execute(
                sa.update(deliveries)
                .where(deliveries.c.state == "pending")
                .values(**{"due_at": past} | values)
            )
        self.database.signal("deliveries").notify()

    @asynccontextmanager
    async def dispatching(self, **settings: Any) -> AsyncIterator[None]:
        """Deliver while inside, with a client and a dispatcher of their own: a replica."""
        changed = self.settings.model_copy(update=settings)
        async with WebhookClient.open(allow_loopback=changed.allow_loopback) as client:
            dispatcher = Dispatcher(self.database, client, changed, lambda: 0.5)
            async with running([dispatcher.run]):
                yield


@asynccontextmanager
async def running(work: Sequence[Any]) -> AsyncIterator[None]:
    """Run loops while inside; leaving stops them, and what they raise fails the test."""
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for one in work:
            group.create_task(one(stop))
        try:
            yield
        finally:
            stop.set()


@pytest.fixture
async def alerting(database_url: str, tmp_path: Path) -> AsyncIterator[Alerting]:
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(open_database(database_url, "alerting"))
        log = await stack.enter_async_context(open_log(f"sqlite:///{tmp_path / 'log'}"))
        await log.create_topics(topic_specs())
        keys = write_access(tmp_path / "access.yaml")
        settings = Settings(
            log_url=f"sqlite:///{tmp_path / 'log'}",
            database_url=database_url,
            access_file=tmp_path / "access.yaml",
            token_keys=SecretStr(TOKEN_KEYS),
            allow_loopback=True,
        )
        access = Access.load(settings.access_file)
        service = await stack.enter_async_context(open_service(settings, log, access))
        database.gate = None
        transport = httpx.ASGITransport(app=service.app)
        client = await stack.enter_async_context(
            httpx.AsyncClient(transport=transport, base_url="http://alerting")
        )
        yield Alerting(service, database, settings, log, client, keys, Judge(database))
