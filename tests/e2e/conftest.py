"""Both stacks as fixtures: the same tests must hold on one embedded process and on Kafka with PostgreSQL."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from deploy.local.kafka import KafkaBroker
from deploy.local.postgres import PostgresServer
from tests.e2e.receiver import Receiver, open_receiver
from tests.e2e.system import Client, System, distributed, embedded

WORKSPACES = [f"w{number:02}" for number in range(60)]


@pytest.fixture(scope="module")
def distributed_system(
    kafka_broker: KafkaBroker,
    postgres_server: PostgresServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[System, Iterator[str]]]:
    """Four processes on a broker and a database, for a module that breaks none of them, and a workspace for each
    of its tests."""
    directory = tmp_path_factory.mktemp("distributed")
    log_url = f"{kafka_broker.url}?prefix={uuid4().hex[:8]}.&session_timeout=6"
    workspaces: dict[str, dict[str, Any]] = {name: {} for name in WORKSPACES}
    made = distributed(
        directory,
        log_url=log_url,
        database_url=postgres_server.create_database(),
        workspaces=workspaces,
    )
    with made.running():
        yield made, iter(WORKSPACES)


@pytest.fixture(
    params=[
        "embedded",
        pytest.param("distributed", marks=[pytest.mark.kafka, pytest.mark.postgres]),
    ]
)
async def client(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Client]:
    """The public API of a running system, with the key of a workspace that nobody has used yet."""
    if request.param == "distributed":
        system, workspaces = request.getfixturevalue("distributed_system")
        async with system.client(next(workspaces)) as opened:
            yield opened
    else:
        system = embedded(tmp_path)
        with system.running():
            async with system.client() as opened:
                yield opened


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """Where webhooks arrive."""
    async with open_receiver() as opened:
        yield opened
