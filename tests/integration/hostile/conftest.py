"""All services in one process over each database, opened once: what hostile input must leave as it found it."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from services.cli.compose import Origin
from services.cli.paths import SERVICES
from shared.db import open_database
from tests.integration.conftest import BOTH, lasting_database, open_all
from tests.integration.hostile.house import URL, House, furnish
from tests.integration.hostile.wire import served
from tests.support import write_access


@pytest.fixture(scope="session", params=BOTH)
def house_database_url(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """A migrated database for all rows of a run, once per kind of database."""
    yield from lasting_database(request, tmp_path_factory)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def house(
    house_database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[House]:
    """The whole house, its loops not running: what a request writes stays where the request put it."""
    directory: Path = tmp_path_factory.mktemp("house")
    keys = write_access(directory / "access.yaml")
    async with AsyncExitStack() as stack:
        opened = open_all(house_database_url, directory, URL)
        services, log = await stack.enter_async_context(opened)
        databases = {}
        for name in SERVICES:
            databases[name] = await stack.enter_async_context(
                open_database(house_database_url, name)
            )
            databases[name].gate = None
        origin = Origin(services)
        client = await stack.enter_async_context(
            httpx.AsyncClient(
                transport=httpx.ASGITransport(app=origin, raise_app_exceptions=False),
                base_url=URL,
                headers={"authorization": f"Bearer {keys['acme']}"},
            )
        )
        built = House(services, origin, databases, log, client, keys)
        await furnish(built)
        yield built


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def port(house: House) -> AsyncIterator[int]:
    """The house behind its real server, which waits a second for headers."""
    async with served(house.origin, header_seconds=1.0) as port:
        yield port
