"""The gauges of what waits, on both databases: true when taken, and known to be old when not."""

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
import sqlalchemy as sa
from msgspec.structs import replace
from prometheus_client import REGISTRY

from shared.db import Database, Tx, UtcDateTime, append, seconds_overdue
from shared.errors import Unavailable
from shared.log import Lag, Log, Record, TopicPartition
from shared.measuring import Measuring
from shared.outbox import outbox_table
from tests.fakes import record
from tests.integration.shared.probe import open_probe

metadata = sa.MetaData()
outbox = outbox_table(metadata)
chores = sa.Table(
    "chores",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("due_at", UtcDateTime),
)
FIRST, SECOND = TopicPartition("events", 0), TopicPartition("events", 1)


@dataclass
class FakeLog:
    """Where the group stands, record by record."""

    lags: dict[TopicPartition, Lag] = field(default_factory=dict)
    away: bool = False
    read_at: list[tuple[TopicPartition, int]] = field(default_factory=list)
    ages: dict[int, float] = field(default_factory=dict)

    async def lag(self, group: str, topics: Sequence[str]) -> Mapping[TopicPartition, Lag]:
        if self.away:
            raise Unavailable("the log is away")
        return dict(self.lags)

    async def read(self, at: TopicPartition, offset: int, *, max_records: int) -> Sequence[Record]:
        self.read_at.append((at, offset))
        written = int((time.time() - self.ages[offset]) * 1000)
        return [replace(record(at.topic, offset, partition=at.partition), timestamp_ms=written)]


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with open_probe(database_url, metadata) as opened:
        yield opened


async def due(tx: Tx) -> Mapping[str, float]:
    return await seconds_overdue(tx, {"chore": sa.select(chores.c.due_at)})


def measuring(database: Database, log: FakeLog) -> Measuring:
    return Measuring(cast("Log", log), ("events",), database, outbox, due)


def shown(gauge: str, **labels: str) -> Any:
    return REGISTRY.get_sample_value(f"afterword_{gauge}", {"service": "probe"} | labels)


async def test_lag_is_the_age_of_the_oldest_record_that_is_not_handled(database: Database) -> None:
    log = FakeLog({FIRST: Lag(0, 10, 10), SECOND: Lag(4, 9, None)}, ages={4: 100.0})
    looking = measuring(database, log)
    await looking.look()
    assert shown("consumer_lag_records", topic="events") == 5
    assert 100 <= shown("consumer_lag_seconds", topic="events") < 110

    log.lags = {FIRST: Lag(0, 20, 10), SECOND: Lag(4, 9, 9)}
    log.read_at.clear()
    await looking.look()
    assert shown("consumer_lag_records", topic="events") == 10
    assert shown("consumer_lag_seconds", topic="events") == 0
    assert log.read_at == [], "what came since the last look is young, and is not read"

    log.ages = {10: 20.0}
    await looking.look()
    assert 20 <= shown("consumer_lag_seconds", topic="events") < 30


async def test_the_outbox_and_what_is_due(database: Database) -> None:
    looking = measuring(database, FakeLog())
    await looking.look()
    assert shown("outbox_waiting_rows") == shown("outbox_oldest_seconds") == 0
    assert shown("due_oldest_seconds", work="chore") == 0

    past = datetime.now(UTC) - timedelta(minutes=3)
    async with database.begin() as tx:
        row = {"topic": "events", "key": b"acme/c", "value": b"{}"}
        await append(tx, outbox, [row | {"created_at": past}, row | {"created_at": past}])
        await tx.execute(
            chores.insert(),
            [
                {"id": 1, "due_at": past},
                {"id": 2, "due_at": datetime.now(UTC) + timedelta(hours=1)},
                {"id": 3, "due_at": past + timedelta(minutes=1)},
            ],
        )
        await tx.execute(outbox.update().where(outbox.c.id == 1).values(blocked="too large"))
    await looking.look()
    assert (shown("outbox_waiting_rows"), shown("outbox_blocked_rows")) == (2, 1)
    assert 180 <= shown("outbox_oldest_seconds") < 200
    assert 180 <= shown("due_oldest_seconds", work="chore") < 200
    assert shown("database_used_connections") <= shown("database_most_connections")


async def test_what_could_not_be_taken_is_known_to_be_old(database: Database) -> None:
    log = FakeLog()
    looking = measuring(database, log)
    await looking.look()
    before = shown("measured_timestamp_seconds", of="log")
    retries = shown("dependency_retries_total")
    assert time.time() - before < 60

    log.away = True
    await looking.look()
    assert shown("measured_timestamp_seconds", of="log") == before
    assert shown("measured_timestamp_seconds", of="database") > before
    assert shown("dependency_retries_total") == retries + 1


async def test_a_fault_in_measuring_ends_nothing(database: Database) -> None:
    async def broken(tx: Tx) -> Mapping[str, float]:
        raise RuntimeError("a fault of ours")

    looking = Measuring(cast("Log", FakeLog()), (), database, outbox, broken)
    before = shown("measured_timestamp_seconds", of="database")
    await looking.look()
    assert shown("measured_timestamp_seconds", of="database") == before
