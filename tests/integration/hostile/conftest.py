"""All services in one process over each database, opened once: what hostile input must leave as it found it."""

import importlib
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from pydantic import SecretStr

from services.cli.compose import Origin, settings_of
from services.cli.paths import SERVICES
from shared.auth import Access
from shared.contracts.topics import topic_specs
from shared.db import open_database
from shared.log.opening import open_log
from tests.integration.conftest import BOTH, lasting_database
from tests.integration.hostile.house import URL, House, furnish
from tests.integration.hostile.wire import served
from tests.support import TOKEN_KEYS, write_access


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
    access = Access.load(directory / "access.yaml")
    values = {
        "log_url": f"sqlite:///{directory / 'log'}",
        "database_url": house_database_url,
        "public_url": URL,
        "access_file": directory / "access.yaml",
        "token_keys": SecretStr(TOKEN_KEYS),
        "allow_loopback": True,
    }
    async with AsyncExitStack() as stack:
        log = await stack.enter_async_context(open_log(str(values["log_url"])))
        await log.create_topics(topic_specs(access.inlets()))
        services, databases = [], {}
        for name in SERVICES:
            open_service = importlib.import_module(f"services.{name}.main").open_service
            settings = settings_of(name, **values)
            services.append(await stack.enter_async_context(open_service(settings, log, access)))
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
