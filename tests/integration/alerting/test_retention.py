"""Deliveries with their bodies and attempts: what is old goes, what is pending keeps its body."""

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from services.alerting.main import SCHEMA
from services.alerting.store.retention import kept
from services.alerting.tables import attempts, deliveries, leases, messages
from shared.db import Database, insert, open_database
from shared.db.days import day_of
from shared.db.partitions import list_ranges
from shared.retention import Retention
from shared.schema import migrate
from tests.integration.alerting.conftest import Alerting
from tests.integration.older import schema_at
from tests.integration.ranges import cut_anew
from tests.support import days_ago, id_of

KEPT_DAYS = 5


@pytest.fixture
async def aged(alerting: Alerting) -> Alerting:
    """With an endpoint, and cut into days since twelve days ago, of which five are kept."""
    await alerting.put_endpoint("http://127.0.0.1:8009/hook")
    await alerting.put_endpoint("http://127.0.0.1:8009/hook", id="desk")
    await cut_anew(alerting.database, [messages, attempts], 12)
    return alerting


async def deliver(
    database: Database,
    days: float,
    state: str = "delivered",
    *,
    changed: float | None = None,
    endpoints: tuple[str, ...] = ("crm",),
    sequence: int = 1,
) -> list[str]:
    """A message about an alert of so many days ago, with a delivery and an attempt for each endpoint."""
    at, changed_at = days_ago(days), days_ago(days if changed is None else changed)
    alert = id_of(at)
    message = {"workspace": "acme", "id": f"{alert}-{sequence}", "alert": alert}
    more = {"sequence": sequence, "type": "alert.raised", "body": b"{}", "created_at": at}
    rows = [_delivery(message["id"], alert, each, state, at, changed_at) for each in endpoints]
    made = [_attempt(row["id"], at) for row in rows]
    async with database.migrating() as tx:
        await insert(tx, messages, [message | more])
        await insert(tx, deliveries, rows)
        await insert(tx, attempts, made)
    return [row["id"] for row in rows]


def _delivery(
    message: str, alert: str, endpoint: str, state: str, at: datetime, changed_at: datetime
) -> dict[str, Any]:
    return {
        "workspace": "acme",
        "id": f"{message}.{endpoint}",
        "endpoint": endpoint,
        "message": message,
        "alert": alert,
        "type": "alert.raised",
        "state": state,
        "attempts": 1,
        "spent": 1,
        "due_at": at,
        "created_at": at,
        "changed_at": changed_at,
    }


def _attempt(delivery: str, at: datetime) -> dict[str, Any]:
    return {
        "workspace": "acme",
        "delivery": delivery,
        "number": 1,
        "at": at,
        "outcome": "delivered",
        "body": "ok",
        "duration_ms": 3,
    }


async def finish(database: Database) -> None:
    retention = Retention(database, leases, kept(KEPT_DAYS, 0))
    while await retention.step():
        pass


async def left(database: Database) -> tuple[set[str], set[str], set[str]]:
    """The deliveries, the messages, and the deliveries of the attempts."""
    async with database.read() as tx:
        columns = (deliveries.c.id, messages.c.id, attempts.c.delivery)
        found = [set((await tx.execute(sa.select(column))).scalars()) for column in columns]
    return found[0], found[1], found[2]


def message_of(delivery: str) -> str:
    return delivery.partition(".")[0]


async def test_old_deliveries_go_with_what_they_carried(aged: Alerting) -> None:
    await deliver(aged.database, 10)
    await deliver(aged.database, 9, "failed", endpoints=("crm", "desk"))
    [new] = await deliver(aged.database, 1)
    await finish(aged.database)
    assert await left(aged.database) == ({new}, {message_of(new)}, {new})
    if aged.database.dialect == "postgresql":
        async with aged.database.read() as tx:
            for table in (messages, attempts):
                first = (await list_ranges(tx, table))[0]
                assert first.first_day == days_ago(KEPT_DAYS).date()


@pytest.mark.parametrize("days", [10, 40])
async def test_what_is_pending_keeps_its_body(aged: Alerting, days: int) -> None:
    """In a range of its own day, and in the default."""
    [pending] = await deliver(aged.database, days, "pending")
    await finish(aged.database)
    assert await left(aged.database) == ({pending}, {message_of(pending)}, {pending})


@pytest.mark.parametrize("days", [10, 40])
async def test_a_late_message_about_an_old_alert_is_kept_for_as_long(
    aged: Alerting, days: int
) -> None:
    await deliver(aged.database, days)
    [late] = await deliver(aged.database, days, changed=1, sequence=2)
    await finish(aged.database)
    found, bodies, _ = await left(aged.database)
    assert found == {late}
    assert message_of(late) in bodies
    assert (await aged.get(f"/v1/deliveries/{late}"))["body"] == {}


async def test_one_delivery_that_is_left_keeps_the_body_of_its_message(aged: Alerting) -> None:
    gone, stays = await deliver(aged.database, 40, endpoints=("crm", "desk"))
    async with aged.database.begin() as tx:
        await tx.execute(
            sa.update(deliveries).where(deliveries.c.id == stays).values(state="pending")
        )
    await finish(aged.database)
    found, bodies, tried = await left(aged.database)
    assert (found, bodies, tried) == ({stays}, {message_of(stays)}, {stays})
    await aged.call("GET", f"/v1/deliveries/{gone}", expect=404)


async def test_a_delivery_whose_body_is_gone_is_not_replayed(aged: Alerting) -> None:
    [id] = await deliver(aged.database, 1, "failed")
    async with aged.database.begin() as tx:
        await tx.execute(sa.delete(messages))
    answer = await aged.call("POST", f"/v1/deliveries/{id}/replay", expect=409)
    assert answer.json()["type"].endswith("body-gone")
    await aged.call("GET", f"/v1/deliveries/{id}", expect=404)


async def test_the_dry_run_says_what_then_happens(aged: Alerting) -> None:
    await deliver(aged.database, 10, "pending")
    await deliver(aged.database, 9)
    [late] = await deliver(aged.database, 8, changed=1)
    outlook, _ = (await aged.get("/v1/operations/alerting/retention"))["classes"]
    assert (outlook["name"], outlook["kept_days"]) == ("deliveries", 90)
    assert outlook["oldest_day"] == days_ago(10).date().isoformat()
    retention = Retention(aged.database, leases, kept(KEPT_DAYS, 0))
    before, _ = await retention.outlook()
    assert before.rows == 1
    await finish(aged.database)
    after, _ = await retention.outlook()
    assert after.rows == 0
    assert {one.name for one in after.partitions} == {
        one.name for one in before.partitions if one.waits
    }
    if aged.database.dialect == "postgresql":
        waiting = {one.first_day for one in before.partitions if one.waits}
        assert waiting == {days_ago(10).date(), day_of(late)}
        assert all(one.bytes > 0 for one in before.partitions)


async def test_bodies_outlive_their_cutting_into_ranges(
    empty_database_url: str, tmp_path: Path
) -> None:
    async with open_database(empty_database_url, "alerting") as database:
        await migrate(database, schema_at(SCHEMA, "0001", tmp_path))
        made = [id for days in (300, 1, 0, -300) for id in await deliver(database, days)]
        assert await migrate(database, SCHEMA) == ("0001", SCHEMA.head())
        database.gate = None
        assert await left(database) == (set(made), {message_of(id) for id in made}, set(made))
