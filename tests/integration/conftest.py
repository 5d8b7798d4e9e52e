"""Fixtures of the integration tests: each store test runs on both databases, each time on a copy of a migrated one."""

import asyncio
import importlib
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from deploy.local.postgres import PostgresServer
from services.cli.compose import migrate_all, settings_of
from services.cli.paths import SERVICES
from shared.auth import Access
from shared.contracts.topics import topic_specs
from shared.http.serve import Service
from shared.log import Log
from shared.log.opening import open_log
from tests.integration.emptying import emptied
from tests.support import TOKEN_KEYS

BOTH = ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)]


@pytest.fixture(scope="session")
def migrated_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the migrated SQLite database of every service."""
    directory = tmp_path_factory.mktemp("migrated")
    asyncio.run(migrate_all(SERVICES, f"sqlite:///{directory}"))
    return directory


@pytest.fixture(scope="session")
def migrated_template(postgres_server: PostgresServer) -> str:
    """A PostgreSQL database with the migrated schema of every service."""
    url = postgres_server.create_database()
    asyncio.run(migrate_all(SERVICES, url))
    return url


@pytest.fixture(scope="session")
def emptied_copies(postgres_server: PostgresServer, migrated_template: str) -> Iterator[list[str]]:
    """The copy that the next test may have, when there is one: to make one costs more than most tests."""
    copies: list[str] = []
    yield copies
    for url in copies:
        postgres_server.drop_database(url)


@pytest.fixture
def postgres_copy(
    postgres_server: PostgresServer, migrated_template: str, emptied_copies: list[str]
) -> Iterator[str]:
    """A copy of the migrated PostgreSQL database, made now or emptied after the test before."""
    url = (
        emptied_copies.pop()
        if emptied_copies
        else postgres_server.create_database(migrated_template)
    )
    yield url
    if emptied(url):
        emptied_copies.append(url)
    else:
        postgres_server.drop_database(url)


@pytest.fixture(params=BOTH)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A migrated database, fresh for each test, once per kind of database."""
    if request.param == "postgresql":
        url: str = request.getfixturevalue("postgres_copy")
        return url
    directory = tmp_path / "database"
    shutil.copytree(request.getfixturevalue("migrated_directory"), directory)
    return f"sqlite:///{directory}"


def lasting_database(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """A migrated database for more than one test, of the kind that the fixture's parameter names."""
    if request.param == "sqlite":
        directory = tmp_path_factory.mktemp("lasting") / "database"
        shutil.copytree(request.getfixturevalue("migrated_directory"), directory)
        yield f"sqlite:///{directory}"
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    url = server.create_database(request.getfixturevalue("migrated_template"))
    yield url
    server.drop_database(url)


@asynccontextmanager
async def open_all(
    database_url: str,
    directory: Path,
    public_url: str,
    log_of: Callable[[str, Log], Log] = lambda _, log: log,
) -> AsyncIterator[tuple[list[Service], Log]]:
    """Every service in this process, its loops not running, on this database, an embedded log and the access file
    that stands in the directory. `log_of` may put something between a service and the log."""
    values: dict[str, Any] = {
        "log_url": f"sqlite:///{directory / 'log'}",
        "database_url": database_url,
        "public_url": public_url,
        "access_file": directory / "access.yaml",
        "token_keys": SecretStr(TOKEN_KEYS),
        "allow_loopback": True,
    }
    access = Access.load(values["access_file"])
    async with AsyncExitStack() as stack:
        log = await stack.enter_async_context(open_log(values["log_url"]))
        await log.create_topics(topic_specs(access.inlets()))
        services = []
        for name in SERVICES:
            open_service = importlib.import_module(f"services.{name}.main").open_service
            settings = settings_of(name, **values)
            service = open_service(settings, log_of(name, log), access)
            services.append(await stack.enter_async_context(service))
        yield services, log


@pytest.fixture(params=BOTH)
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database without any schema, for migrations."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'database'}"
    url: str = request.getfixturevalue("postgres_url")
    return url
