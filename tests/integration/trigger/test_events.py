"""What becomes of events, on both databases: each is decided about once, and every decision can be explained."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.trigger.explanations import why
from shared.auth import Access
from shared.contracts.topics import Topic
from shared.errors import Unavailable
from tests.integration.trigger.conftest import Bench, open_bench

NOW = datetime.now(UTC)


async def announced(bench: Bench) -> list[dict[str, Any]]:
    rows = [row for row in await bench.rows("outbox", "id") if row.topic == "invitations"]
    return [json.loads(row.value)["data"] for row in rows]


async def test_an_event_becomes_an_invitation_that_is_announced(bench: Bench) -> None:
    await bench.trigger(
        when={"path": "data.amount", "gt": 5},
        dimensions={"org": "data.store", "brand": {"value": "acme"}},
    )
    await bench.handlers.events([bench.event(data={"amount": 10, "store": "12"})])
    (decision,) = await bench.rows("decisions")
    (invitation,) = await bench.rows("invitations")
    assert (decision.outcome, decision.invitation) == ("invited", invitation.id)
    assert (invitation.state, invitation.revision) == ("sent", 1)
    (message,) = await announced(bench)
    assert message["link"].startswith("https://ask.example/s/")
    assert message["dimensions"] == {
        "org": {"value": "12", "path": "12"},
        "brand": {"value": "acme", "path": "acme"},
    }
    assert message["transaction"]["data"] == {"amount": 10, "store": "12"}


async def test_a_replayed_batch_changes_nothing(bench: Bench) -> None:
    await bench.trigger()
    batch = [
        bench.event("e1"),
        bench.event("e2", "bob"),
        bench.event("e1"),
        bench.event("e3", type="viewed"),
    ]
    await bench.handlers.events(batch)
    before = {
        table: await bench.rows(table)
        for table in ("seen", "decisions", "invitations", "holds", "contacts", "outbox")
    }
    assert [len(before["seen"]), len(before["decisions"]), len(before["invitations"])] == [3, 2, 2]
    await bench.handlers.events(batch)
    await bench.handlers.events(batch[::-1])
    for table, rows in before.items():
        assert await bench.rows(table) == rows


async def test_every_event_has_a_decision(bench: Bench) -> None:
    await bench.trigger("b", when={"path": "data.amount", "gt": 50})
    await bench.trigger("a")
    await bench.handlers.events(
        [bench.event("e1"), bench.event("e2", type="viewed"), bench.event("e3")]
    )
    assert await bench.outcomes() == {
        ("e1", "a"): ("invited", None),
        ("e1", "b"): ("suppressed", "condition"),
        ("e3", "a"): ("suppressed", "contact_policy"),
        ("e3", "b"): ("suppressed", "condition"),
    }
    assert {row.event: row.outcome for row in await bench.rows("seen")} == {
        "e1": None,
        "e2": "no_trigger",
        "e3": None,
    }


async def test_workspaces_share_nothing(bench: Bench) -> None:
    await bench.trigger()
    await bench.handlers.events([bench.event("e1"), bench.event("e1", workspace="other")])
    (decision,) = await bench.rows("decisions")
    assert decision.workspace == "acme"
    assert [row.outcome for row in await bench.rows("seen", "workspace")] == [None, "no_trigger"]


async def test_the_contact_policy_holds_across_triggers_and_in_one_batch(bench: Bench) -> None:
    await bench.trigger("first", priority=5)
    await bench.trigger("second")
    await bench.handlers.events([bench.event("e1"), bench.event("e2", "bob")])
    await bench.handlers.events([bench.event("e3")])
    outcomes = await bench.outcomes()
    assert outcomes[("e1", "first")] == outcomes[("e2", "first")] == ("invited", None)
    assert {outcomes[key][1] for key in (("e1", "second"), ("e2", "second"), ("e3", "first"))} == {
        "contact_policy"
    }
    last = (await bench.rows("decisions", "id"))[-1]
    assert "lets nobody ask again before" in why(last.outcome, last.reason, _json(last.trace))


async def test_one_transaction_is_asked_about_once_whatever_events_tell_of_it(bench: Bench) -> None:
    await bench.put("contact-policy", "default", {"after_invitation": "0s"})
    await bench.trigger(transaction="data.order_no")
    await bench.handlers.events(
        [bench.event("e1", data={"order_no": 7}), bench.event("e2", data={"order_no": "7"})]
    )
    await bench.handlers.events(
        [bench.event("e3", data={"order_no": 7}, source="/till"), bench.event("e4", data={"no": 1})]
    )
    assert [v for _, v in sorted((await bench.outcomes()).items())] == [
        ("invited", None),
        ("suppressed", "same_transaction"),
        ("suppressed", "same_transaction"),
        ("suppressed", "no_transaction"),
    ]


async def test_a_delay_is_waited_for_and_the_contact_clock_counts_from_the_release(
    bench: Bench,
) -> None:
    await bench.trigger("slow", delay="2h")
    await bench.trigger("fast", on="called")
    await bench.handlers.events([bench.event("e1")])
    assert await bench.releases.release() == 0
    await bench.handlers.events([bench.event("e2", type="called")])
    assert (await bench.outcomes())[("e2", "fast")] == ("invited", None)
    await bench.release()
    assert (await bench.outcomes())[("e1", "slow")] == ("suppressed", "contact_policy")
    assert [step["step"] for step in _json((await bench.rows("decisions", "id"))[0].trace)][
        -1
    ] == "contact_policy"
    assert [row.trigger for row in await bench.rows("holds")] == ["fast"]


async def test_a_released_decision_is_as_it_was(bench: Bench) -> None:
    await bench.handlers.customers([bench.customer("ann", attributes={"tier": "gold"})])
    await bench.trigger(
        delay="1h",
        when={"path": "customer.tier", "eq": "gold"},
        dimensions={"segment": "customer.tier"},
    )
    await bench.handlers.events([bench.event("e1", time=NOW)])
    await bench.handlers.customers([bench.customer("ann", attributes={"tier": "none"})])
    await bench.release()
    (message,) = await announced(bench)
    assert message["customer"]["attributes"] == {"tier": "gold"}
    assert message["dimensions"]["segment"]["value"] == "gold"
    (decision,) = await bench.rows("decisions")
    assert [s["step"] for s in _json(decision.trace) if "at" in s] == ["arrival", "release"]


async def test_a_condition_reads_the_unit_of_an_event(bench: Bench) -> None:
    units = {"cn": {}, "store-12": {"parent": "cn", "aliases": ["12"]}}
    await bench.handlers.definitions(
        [bench.copy("unit", id, document, state="active") for id, document in units.items()]
    )
    await bench.trigger(
        when={"path": "dimensions.org", "eq": "store-12"}, dimensions={"org": "data.store"}
    )
    await bench.handlers.events(
        [bench.event("e1", data={"store": "12"}), bench.event("e2", "bob", data={"store": "13"})]
    )
    assert await bench.outcomes() == {
        ("e1", "after"): ("invited", None),
        ("e2", "after"): ("suppressed", "condition"),
    }
    (message,) = await announced(bench)
    assert message["dimensions"]["org"] == {"value": "store-12", "path": "cn/store-12"}


@pytest.mark.parametrize("same_batch", [True, False])
async def test_cancelled_before_after_or_too_late(bench: Bench, same_batch: bool) -> None:
    await bench.put("contact-policy", "default", {"after_invitation": "0s"})
    await bench.trigger(
        transaction="data.order_no",
        delay="1h",
        cancel_on=[{"on": "returned", "when": {"path": "data.all", "eq": True}}],
    )
    records = [
        bench.event("r1", type="returned", data={"order_no": 1, "all": True}),
        bench.event("e1", data={"order_no": 1}),
        bench.event("e2", data={"order_no": 2}),
        bench.event("r2", "bob", type="returned", data={"order_no": 2, "all": True}),
        bench.event("e3", data={"order_no": 3}),
        bench.event("r3", type="returned", data={"order_no": 3, "all": False}),
    ]
    for batch in [records] if same_batch else [[record] for record in records]:
        await bench.handlers.events(batch)
    await bench.release()
    await bench.handlers.events(
        [bench.event("r4", type="returned", data={"order_no": 3, "all": True})]
    )
    outcomes = await bench.outcomes()
    assert outcomes == {
        ("e1", "after"): ("cancelled", "cancel_on"),
        ("e2", "after"): ("cancelled", "cancel_on"),
        ("e3", "after"): ("invited", None),
    }
    assert [row.transaction_key for row in await bench.rows("holds")] == ["3"]
    traces = {row.event: _json(row.trace) for row in await bench.rows("decisions")}
    assert traces["e2"][-1]["event"] == "the event r2 of /shop (returned)"


async def test_a_paused_trigger_holds_what_is_pending_and_refuses_what_is_new(bench: Bench) -> None:
    await bench.trigger(delay="1h")
    await bench.handlers.events([bench.event("e1")])
    await bench.trigger(delay="1h", state="paused")
    await bench.handlers.events([bench.event("e2", "bob")])
    await bench.release()
    assert await bench.outcomes() == {
        ("e1", "after"): ("pending", "paused"),
        ("e2", "after"): ("suppressed", "paused"),
    }
    assert await bench.releases.unhold() == 0
    await bench.trigger(delay="1h")
    assert await bench.releases.unhold() == 1
    await bench.release()
    assert (await bench.outcomes())[("e1", "after")] == ("invited", None)


async def test_the_pending_of_a_deleted_trigger_come_to_an_end(bench: Bench) -> None:
    await bench.trigger(delay="1h")
    await bench.handlers.events([bench.event("e1")])
    async with bench.database.begin() as tx:
        await tx.exec_driver_sql(
            "UPDATE definitions SET state = 'deleted', revision = revision + 1"
        )
    await bench.release()
    assert await bench.outcomes() == {("e1", "after"): ("suppressed", "trigger_deleted")}
    assert await bench.rows("holds") == []


async def test_nobody_is_asked_before_the_customers_are_read_nor_while_they_lag(
    bench: Bench,
) -> None:
    await bench.trigger(when={"path": "customer.tier", "eq": "gold"})
    await bench.set_fresh(timedelta(seconds=31))
    await bench.handlers.events(
        [bench.event("e1"), bench.event("e2", "bob"), bench.event("e3", "cid")]
    )
    assert set((await bench.outcomes()).values()) == {("pending", "waiting_for_customers")}
    await bench.release()
    assert set((await bench.outcomes()).values()) == {("pending", "waiting_for_customers")}
    await bench.handlers.customers(
        [
            bench.customer("ann", attributes={"tier": "gold"}),
            bench.customer("bob", attributes={"tier": "gold"}, consent={"surveys": False}),
        ]
    )
    await bench.set_fresh()
    await bench.release()
    assert {event: v for (event, _), v in (await bench.outcomes()).items()} == {
        "e1": ("invited", None),
        "e2": ("suppressed", "opted_out"),
        "e3": ("suppressed", "condition"),
    }
    (message,) = await announced(bench)
    assert message["customer"]["attributes"] == {"tier": "gold"}


async def test_an_opt_out_during_the_delay_is_heeded(bench: Bench) -> None:
    await bench.trigger(delay="1h")
    await bench.handlers.events([bench.event("e1")])
    await bench.handlers.customers([bench.customer("ann", consent={"surveys": False})])
    await bench.release()
    assert await bench.outcomes() == {("e1", "after"): ("suppressed", "opted_out")}


async def test_an_older_state_of_a_customer_changes_nothing(bench: Bench) -> None:
    newer = bench.customer("ann", revision=2, consent={"surveys": False})
    older = bench.customer("ann", revision=1)
    await bench.handlers.customers([newer, older])
    await bench.handlers.customers([older])
    await bench.handlers.customers([newer])
    assert [
        row.next_offset for row in await bench.rows("positions") if row.topic == Topic.CUSTOMERS
    ] == [older.record.offset + 1]
    await bench.trigger()
    await bench.handlers.events([bench.event("e1")])
    assert await bench.outcomes() == {("e1", "after"): ("suppressed", "opted_out")}


async def test_a_clock_of_events_replays_history(bench: Bench) -> None:
    await bench.trigger(workspace="past", max_age="60d")
    start = datetime(2020, 1, 1, tzinfo=UTC)
    days = {"e1": 0, "e2": 10, "e3": 31, "e4": 25, "e5": 70, "old": 5}
    for id, day in days.items():
        await bench.handlers.events(
            [bench.event(id, workspace="past", time=start + timedelta(days=day))]
        )
    assert {event: v for (event, _), v in (await bench.outcomes()).items()} == {
        "e1": ("invited", None),
        "e2": ("suppressed", "contact_policy"),
        "e3": ("invited", None),
        "e4": ("suppressed", "contact_policy"),
        "e5": ("invited", None),
        "old": ("suppressed", "too_old"),
    }
    expires = {row.expires_at for row in await bench.rows("invitations")}
    assert all(str(at) > str(NOW.date()) for at in expires)


async def test_what_arrived_before_the_trigger_was_active_is_not_asked_about(bench: Bench) -> None:
    now = datetime.now(UTC)
    await bench.trigger()
    await bench.handlers.events(
        [
            bench.event("e1", arrived_at=now - timedelta(seconds=90)),
            bench.event("e2", "bob", arrived_at=now - timedelta(seconds=30)),
            bench.event("e3", "cid", time=now - timedelta(days=31)),
        ]
    )
    assert {event: v for (event, _), v in (await bench.outcomes()).items()} == {
        "e1": ("suppressed", "before_active"),
        "e2": ("invited", None),
        "e3": ("suppressed", "too_old"),
    }


async def test_contact_points_are_cut_out_before_anything_is_kept(bench: Bench) -> None:
    await bench.trigger(contact={"email": "data.buyer.mail"}, delay="1h")
    await bench.handlers.events(
        [bench.event("e1", data={"buyer": {"mail": "ann@example.com", "age": 3}})]
    )
    await bench.release()
    (invitation,) = await bench.rows("invitations")
    assert _json(invitation.contact) == {"email": "ann@example.com"}
    assert _json(invitation.document)["transaction"]["data"] == {"buyer": {"age": 3}}
    assert all(b"ann@example.com" not in bytes(row.value) for row in await bench.rows("outbox"))


async def test_a_buried_event_has_a_decision_and_its_replay_another(bench: Bench) -> None:
    await bench.trigger()
    event = bench.event("e1")
    await bench.handlers.bury(event, "ValueError: it is cursed")
    (row,) = await bench.rows("seen")
    assert (row.outcome, row.reason) == ("dead_lettered", "ValueError: it is cursed")
    await bench.handlers.events([event])
    (row,) = await bench.rows("seen")
    assert (row.outcome, row.reason) == (None, None)
    assert await bench.outcomes() == {("e1", "after"): ("invited", None)}
    await bench.handlers.bury(event, "again")
    assert [(r.outcome, r.claimed) for r in await bench.rows("seen")] == [(None, 1)]


async def test_old_dedupe_rows_are_forgotten_and_young_ones_kept(bench: Bench) -> None:
    await bench.handlers.events(
        [bench.event("old", arrived_at=NOW - timedelta(days=41)), bench.event("young")]
    )
    assert await bench.releases.forget() == 1
    assert [row.event for row in await bench.rows("seen")] == ["young"]


async def test_a_change_in_another_replica_is_seen_at_once(
    database_url: str, access: Access
) -> None:
    async with (
        open_bench(database_url, access) as one,
        open_bench(database_url, access) as two,
    ):
        await one.set_fresh()
        await one.survey()
        await one.trigger()
        await two.handlers.events([two.event("e1")])
        await one.trigger(when={"path": "data.amount", "gt": 100})
        await two.handlers.events([two.event("e2", "bob")])
        assert await two.outcomes() == {
            ("e1", "after"): ("invited", None),
            ("e2", "after"): ("suppressed", "condition"),
        }


@pytest.mark.postgres
async def test_two_workers_on_overlapping_batches_ask_each_once(
    postgres_copy: str, access: Access
) -> None:
    async with (
        open_bench(postgres_copy, access) as one,
        open_bench(postgres_copy, access) as two,
    ):
        await one.set_fresh()
        await one.survey()
        await one.trigger("a")
        await one.trigger("b", transaction="data.order_no")
        records = [one.event(f"e{i}", f"c{i % 40}", data={"order_no": i % 60}) for i in range(200)]
        halves = (records[:150], list(reversed(records[50:])))
        for _ in range(3):
            await asyncio.gather(
                *(_until_done(b, batch) for b, batch in zip((one, two), halves, strict=True))
            )
        assert len(await one.rows("seen")) == 200
        assert len(await one.rows("decisions")) == 400
        invitations = await one.rows("invitations")
        assert len(invitations) == len({row.customer for row in invitations}) == 40
        keys = [
            (row.trigger, row.transaction_key)
            for row in await one.rows("decisions")
            if row.outcome == "invited"
        ]
        assert len(keys) == len(set(keys))


@pytest.mark.postgres
async def test_the_contact_policy_holds_across_triggers_and_workers(
    postgres_copy: str, access: Access
) -> None:
    async with (
        open_bench(postgres_copy, access) as one,
        open_bench(postgres_copy, access) as two,
    ):
        await one.set_fresh()
        await one.survey()
        await one.trigger("a")
        await one.trigger("b", on="called")
        for round_ in range(6):
            people = [f"c{round_}-{i}" for i in range(60)]
            paid = [one.event(f"paid-{name}", name) for name in people]
            called = [two.event(f"called-{name}", name, type="called") for name in reversed(people)]
            await asyncio.gather(_until_done(one, paid), _until_done(two, called))
        invitations = await one.rows("invitations")
        assert len(invitations) == len({row.customer for row in invitations}) == 360
        assert len(await one.rows("decisions")) == 720


@pytest.mark.postgres
async def test_two_workers_release_each_pending_decision_once(
    postgres_copy: str, access: Access
) -> None:
    async with (
        open_bench(postgres_copy, access) as one,
        open_bench(postgres_copy, access) as two,
    ):
        await one.set_fresh()
        await one.survey()
        await one.trigger(delay="1h")
        await one.trigger("other", delay="1h")
        await one.handlers.events([one.event(f"e{i}", f"c{i}") for i in range(700)])
        await one.make_due()
        await asyncio.gather(*(b.releases.release() for b in (one, two, one, two)))
        await one.release()
        assert len(await one.rows("invitations")) == 700
        assert {row.outcome for row in await one.rows("decisions")} == {"invited", "suppressed"}


@pytest.mark.postgres
async def test_a_stop_that_races_a_release_leaves_no_open_invitation(
    postgres_copy: str, access: Access
) -> None:
    async with (
        open_bench(postgres_copy, access) as one,
        open_bench(postgres_copy, access) as two,
    ):
        await one.set_fresh()
        await one.survey()
        await one.trigger(delay="1h")
        for round_ in range(8):
            people = [f"c{round_}-{i}" for i in range(50)]
            await one.handlers.events([one.event(f"e{name}", name) for name in people])
            await one.make_due()
            stops = [two.customer(name, consent={"surveys": False}) for name in people]
            await asyncio.gather(one.releases.release(), two.handlers.customers(stops))
        await one.release()
        assert {row.state for row in await one.rows("invitations")} <= {"stopped"}
        assert {row.outcome for row in await one.rows("decisions")} <= {"invited", "suppressed"}


async def _until_done(bench: Bench, batch: list[Any]) -> None:
    for _ in range(20):
        try:
            await bench.handlers.events(batch)
        except Unavailable:
            continue
        return
    raise AssertionError("the batch was refused again and again")


def _json(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value
