"""The whole embedded system inside the test's own process, with two workspaces."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest

from services.cli.dev import Embedded, open_embedded, prepare
from tests.support import working

URL = "http://afterword.test"


@pytest.fixture
async def embedded(tmp_path: Path) -> AsyncIterator[tuple[Embedded, dict[str, str]]]:
    """All services, their loops running, and a key of each workspace."""
    keys = prepare(tmp_path / "data", {"acme": {}, "other": {}})
    async with open_embedded(tmp_path / "data", URL) as system:
        for service in system.services:
            service.health.started = True
        async with working(*system.services):
            yield system, keys


@pytest.fixture
async def clients(
    embedded: tuple[Embedded, dict[str, str]],
) -> AsyncIterator[dict[str, httpx.AsyncClient]]:
    """A client per workspace."""
    system, keys = embedded
    async with AsyncExitStack() as stack:
        yield {
            name: await stack.enter_async_context(
                httpx.AsyncClient(
                    transport=httpx.ASGITransport(app=system.origin),
                    base_url=URL,
                    headers={"authorization": f"Bearer {key}"},
                )
            )
            for name, key in keys.items()
        }
