"""Both stacks as fixtures: the same tests must hold on one embedded process and on Kafka with PostgreSQL."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from tests.e2e.receiver import Receiver, open_receiver
from tests.e2e.system import Client, System, distributed, embedded


@pytest.fixture
def kafka_and_postgres(kafka_url: str, postgres_url: str) -> tuple[str, str]:
    """Topics of this test's own on the broker, and an empty database."""
    return f"{kafka_url}?prefix={uuid4().hex[:8]}.&session_timeout=6", postgres_url


@pytest.fixture(
    params=[
        "embedded",
        pytest.param("distributed", marks=[pytest.mark.kafka, pytest.mark.postgres]),
    ]
)
def system(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[System]:
    """A running system."""
    if request.param == "embedded":
        made = embedded(tmp_path)
    else:
        log_url, database_url = request.getfixturevalue("kafka_and_postgres")
        made = distributed(tmp_path, log_url=log_url, database_url=database_url)
    for process in made.processes.values():
        process.start()
    try:
        made.wait_until_ready()
        yield made
    finally:
        made.end()


@pytest.fixture
async def client(system: System) -> AsyncIterator[Client]:
    """The public API with the key of the workspace under test."""
    async with system.client() as opened:
        yield opened


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """Where webhooks arrive."""
    async with open_receiver() as opened:
        yield opened
