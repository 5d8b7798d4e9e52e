"""Responses in, alerts out, on both databases: one per rule and response, whatever happens on the way."""

import asyncio
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from services.alerting.main import SCHEMA
from services.alerting.tables import metadata, outbox
from shared.contracts.envelope import decode_message
from shared.contracts.messages import AlertRaised, AlertWithdrawn
from shared.log import Record, TopicPartition
from tests.integration.alerting.conftest import Alerting, running
from tests.support import eventually
from tests.unit.alerting.responses import received, response


async def test_a_batch_replayed_changes_nothing(alerting: Alerting) -> None:
    await alerting.put_rule()
    await alerting.put_endpoint("http://127.0.0.1:9999/hook")
    batch = [received(response(f"r{n}", score=n)) for n in range(10)]

    await alerting.handle(*batch, batch[0])
    await alerting.handle(*batch)
    await alerting.handle(batch[3])

    alerts = (await alerting.get("/v1/alerts"))["items"]
    assert sorted(alert["response"] for alert in alerts) == [f"r{n}" for n in range(7)]
    assert {alert["sequence"] for alert in alerts} == {1}
    assert len(await alerting.deliveries()) == 7
    async with alerting.database.read() as tx:
        statement = sa.select(sa.func.count()).where(outbox.c.topic == "alerts")
        assert (await tx.execute(statement)).scalar_one() == 7


async def test_two_workers_on_one_batch(alerting: Alerting) -> None:
    await alerting.put_rule()
    await alerting.put_endpoint("http://127.0.0.1:9999/hook")
    batch = [received(response(f"r{n}")) for n in range(50)]

    await asyncio.gather(*(alerting.handle(*part) for part in (batch, batch[::-1], batch[10:40])))

    assert len((await alerting.get("/v1/alerts"))["items"]) == 50
    assert len(await alerting.deliveries()) == 50


async def test_an_edit_withdraws_and_both_are_delivered_under_their_own_id(
    alerting: Alerting,
) -> None:
    await alerting.put_rule()
    await alerting.put_endpoint("http://127.0.0.1:9999/hook")
    await alerting.handle(received(response(score=2)))
    await alerting.handle(received(response(score=10, revision=2)))

    [alert] = (await alerting.get("/v1/alerts", state="withdrawn"))["items"]
    assert (alert["revision"], alert["sequence"]) == (2, 2)
    deliveries = await alerting.deliveries(alert=alert["id"])
    assert [(d["type"], d["webhook_id"]) for d in deliveries] == [
        ("alert.withdrawn", f"{alert['id']}-2"),
        ("alert.raised", f"{alert['id']}-1"),
    ]
    shown = await alerting.get(f"/v1/alerts/{alert['id']}")
    assert shown["about"]["answers"][0]["value"] == 10


async def test_an_older_revision_that_comes_late_changes_nothing(alerting: Alerting) -> None:
    await alerting.put_rule()
    await alerting.handle(received(response(score=9, revision=2)))
    await alerting.handle(received(response(score=1, revision=1)))
    assert (await alerting.get("/v1/alerts"))["items"] == []


async def test_a_deletion_withdraws(alerting: Alerting) -> None:
    await alerting.put_rule()
    await alerting.handle(received(response()))
    await alerting.call("DELETE", "/v1/alert-rules/unhappy", expect=204)
    await alerting.handle(received(response(revision=2, state="deleted", answers=())))
    [alert] = (await alerting.get("/v1/alerts"))["items"]
    assert alert["state"] == "withdrawn"


async def test_a_rule_that_was_changed_judges_from_the_next_batch_on(alerting: Alerting) -> None:
    await alerting.handle(received(response("before")))
    await alerting.put_rule()
    await alerting.handle(received(response("r1")))
    await alerting.put_rule(when={"path": "answers.recommend", "gte": 9})
    await alerting.handle(received(response("r2")), received(response("r3", score=10)))
    await alerting.put_rule("other")
    await alerting.handle(received(response("r4")))
    await alerting.call("DELETE", "/v1/alert-rules/other", expect=204)
    await alerting.handle(received(response("r5")))
    found = [(a["response"], a["rule"]) for a in (await alerting.get("/v1/alerts"))["items"]]
    assert sorted(found) == [("r1", "unhappy"), ("r3", "unhappy"), ("r4", "other")]


async def test_of_several_revisions_in_a_batch_the_newest_is_remembered(alerting: Alerting) -> None:
    await alerting.put_rule()
    await alerting.handle(
        received(response(score=9)),
        received(response(score=2, revision=3)),
        received(response(score=10, revision=2)),
    )
    await alerting.handle(received(response(score=10, revision=3)))
    [alert] = (await alerting.get("/v1/alerts"))["items"]
    assert (alert["state"], alert["revision"]) == ("raised", 3)
    await alerting.handle(received(response(score=10, revision=4)))
    [alert] = (await alerting.get("/v1/alerts"))["items"]
    assert (alert["state"], alert["revision"]) == ("withdrawn", 4)


async def test_a_replay_of_the_past_alerts_nobody(alerting: Alerting) -> None:
    await alerting.put_rule()
    before = datetime.now(UTC) - timedelta(minutes=5)
    await alerting.handle(received(response(), at=before), received(response("r2")))
    [alert] = (await alerting.get("/v1/alerts"))["items"]
    assert alert["response"] == "r2"


async def test_an_endpoint_gets_the_types_it_subscribes_to_and_only_later_alerts(
    alerting: Alerting,
) -> None:
    await alerting.put_rule()
    await alerting.put_endpoint("http://127.0.0.1:9999/a", "all")
    await alerting.put_endpoint("http://127.0.0.1:9999/b", "ends", types=["alert.withdrawn"])
    await alerting.put_endpoint("http://127.0.0.1:9999/c", "theirs", workspace="other")
    await alerting.handle(received(response()))
    await alerting.put_endpoint("http://127.0.0.1:9999/d", "late")
    await alerting.handle(received(response(score=8, revision=2)))

    found = sorted((d["endpoint"], d["type"]) for d in await alerting.deliveries())
    assert found == [
        ("all", "alert.raised"),
        ("all", "alert.withdrawn"),
        ("ends", "alert.withdrawn"),
        ("late", "alert.withdrawn"),
    ]
    assert await alerting.deliveries("other") == []


async def test_alerts_are_announced_in_order_with_their_trace(alerting: Alerting) -> None:
    await alerting.put_rule()
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    await alerting.handle(received(response(), traceparent=trace))
    await alerting.handle(received(response(score=9, revision=2)))

    async def announced() -> list[Record] | None:
        found: list[Record] = []
        for partition in range(12):
            at = TopicPartition("alerts", partition)
            found += await alerting.log.read(at, 0, max_records=10)
        return found if len(found) == 2 else None

    async with running(alerting.service.work):
        records = await eventually(announced, what="two announcements")
    first, second = (decode_message(record) for record in records)
    assert first is not None
    assert second is not None
    assert (first.workspace, first.entity, first.traceparent) == ("acme", "c1", trace)
    assert type(first.message) is AlertRaised
    assert type(second.message) is AlertWithdrawn
    assert first.message.id == second.message.id
    assert (first.message.revision, second.message.revision) == (1, 2)


async def test_the_migrations_make_the_tables_of_the_code(alerting: Alerting) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    def differences(connection: sa.Connection) -> list[object]:
        ours = {"include_object": lambda _o, name, *_: not name.startswith(ignored)}
        return list(compare_metadata(MigrationContext.configure(connection, opts=ours), metadata))

    ignored = ("schema_compatibility", "alembic_version", "messages_", "attempts_")
    async with alerting.database.migrating() as tx:
        assert await tx.run_sync(differences) == []
    assert SCHEMA.head() == "0005"
