"""An older database of trigger: invitations that were announced come back, and their events find them decided."""

from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from msgspec.structs import replace

from services.trigger.restores import Restores
from services.trigger.store import invitations
from services.trigger.store.retention import kept
from services.trigger.tables import decisions, holds, leases
from shared.contracts.envelope import Received
from shared.contracts.messages import InvitationChanged
from shared.contracts.topics import Topic
from shared.contracts.values import InvitationState
from shared.db import insert
from tests.integration.announced import announced
from tests.integration.letting_go import let_go
from tests.integration.trigger.conftest import Bench
from tests.integration.trigger.test_past_invitations import became
from tests.support import days_ago

LOST = ("seen", "decisions", "invitations", "holds", "contacts", "outbox")


async def lose(bench: Bench) -> None:
    async with bench.database.begin() as tx:
        for table in LOST:
            await tx.execute(sa.text(f"DELETE FROM {table}"))


async def restore(bench: Bench, batch: list[Received[Any]]) -> int:
    async with bench.database.begin() as tx:
        return await Restores(bench.access).by_topic()[Topic.INVITATIONS](tx, batch)


async def test_an_event_that_is_read_again_finds_its_invitation(bench: Bench) -> None:
    await bench.trigger()
    event = bench.event("e1", "ann")
    await bench.handlers.events([event])
    batch = await announced(bench.database, InvitationChanged)
    (before,) = await bench.rows("invitations")
    await lose(bench)
    assert await restore(bench, batch) == 1
    assert await restore(bench, batch) == 0
    await bench.handlers.events([event])
    (after,) = await bench.rows("invitations")
    assert (after.id, after.state, after.revision) == (before.id, before.state, before.revision)
    assert await bench.outcomes() == {("e1", "after"): ("invited", None)}
    assert await bench.rows("outbox") == [], "what is in the log is not announced again"
    await bench.handlers.events([bench.event("e2", "ann")])
    assert (await bench.outcomes())["e2", "after"] == ("suppressed", "contact_policy")


async def test_another_trigger_of_the_same_event_still_decides(bench: Bench) -> None:
    await bench.trigger()
    event = bench.event("e1", "ann")
    await bench.handlers.events([event])
    batch = await announced(bench.database, InvitationChanged)
    await bench.trigger("later", delay="1h")
    await lose(bench)
    await restore(bench, batch)
    await bench.handlers.events([event])
    assert await bench.outcomes() == {
        ("e1", "after"): ("invited", None),
        ("e1", "later"): ("pending", "delay"),
    }


async def test_what_was_to_be_sent_waits_for_the_contact_points_of_its_event(bench: Bench) -> None:
    await bench.put("channel", "sms", {"type": "webhook", "url": "https://sms.example/send"})
    await bench.trigger(channel="sms", contact={"phone": "data.phone"})
    event = bench.event("e1", "ann", data={"order_no": "1", "phone": "+8613800000000"})
    await bench.handlers.events([event])
    batch = await announced(bench.database, InvitationChanged)
    await lose(bench)
    assert await restore(bench, batch) == 1
    (waiting,) = await bench.rows("invitations")
    assert (waiting.state, waiting.send_at) == ("made", None)
    await bench.handlers.events([event])
    async with bench.database.begin() as tx:
        ((due, _),) = await invitations.claim_sendings(tx, limit=10, lease_seconds=10)
    assert (due.id, due.contact) == (waiting.id, {"phone": "+8613800000000"})


async def test_a_pending_decision_that_was_released_since_is_invited(bench: Bench) -> None:
    await bench.trigger(delay="1h")
    event = bench.event("e1", "ann")
    await bench.handlers.events([event])
    kept = await bench.rows("decisions")
    await bench.release()
    batch = await announced(bench.database, InvitationChanged)
    async with bench.database.begin() as tx:
        for table in ("invitations", "contacts", "outbox"):
            await tx.execute(sa.text(f"DELETE FROM {table}"))
        again = "UPDATE decisions SET outcome = 'pending', invitation = NULL, due_at = decided_at"
        await tx.execute(sa.text(again))
    await restore(bench, batch)
    await bench.release()
    (row,) = await bench.rows("decisions")
    assert (row.id, row.outcome, row.invitation) == (kept[0].id, "invited", kept[0].id)
    assert len(await bench.rows("invitations")) == 1


async def test_an_invitation_that_was_let_go_of_brings_back_nothing_that_asks_again(
    bench: Bench,
) -> None:
    """The log is kept for longer than invitations are: what it says of one that has ended is taken over, and goes again."""
    await bench.trigger()
    event = bench.event("e1", "ann")
    await bench.handlers.events([event])
    [made] = await announced(bench.database, InvitationChanged)
    old = await became(bench, made.message.id, 60, state="expired", expires_at=days_ago(1))
    async with bench.database.begin() as tx:
        await tx.execute(sa.update(decisions).values(id=old, invitation=old))
    classes = kept(50, 50)
    await let_go(bench.database, leases, classes)
    assert await bench.rows("invitations") == []

    said = {"id": old, "made_at": days_ago(60), "expires_at": days_ago(1)}
    ended = said | {"revision": 3, "state": InvitationState.EXPIRED}
    batch = [replace(made, message=made.message.model_copy(update=each)) for each in (said, ended)]
    assert await restore(bench, batch) == 1
    await bench.handlers.events([event])
    assert [(row.id, row.state) for row in await bench.rows("invitations")] == [(old, "expired")]
    await let_go(bench.database, leases, classes)
    assert await bench.rows("invitations") == []


async def test_a_transaction_that_was_invited_since_is_held_by_its_invitation(bench: Bench) -> None:
    """On the older database another decision held it, which was pending then and let it go later."""
    await bench.trigger(transaction="data.order_no", delay="1h")
    order = {"order_no": "o1"}
    await bench.handlers.events([bench.event("e1", "ann", data=order)])
    older = await bench.rows("holds")
    async with bench.database.begin() as tx:
        await tx.execute(sa.text("DELETE FROM holds"))
    await bench.handlers.events([bench.event("e2", "bob", data=order)])
    [(second,)] = [(row.id,) for row in await bench.rows("decisions") if row.event == "e2"]
    async with bench.database.begin() as tx:
        await tx.execute(sa.update(decisions).values(due_at=None).where(decisions.c.event == "e1"))
    await bench.release()
    batch = await announced(bench.database, InvitationChanged)
    assert [each.message.id for each in batch] == [second]
    async with bench.database.begin() as tx:
        for table in ("invitations", "contacts", "outbox", "holds"):
            await tx.execute(sa.text(f"DELETE FROM {table}"))
        await tx.execute(sa.delete(decisions).where(decisions.c.event == "e2"))
        await tx.execute(sa.update(decisions).values(due_at=decisions.c.decided_at))
        await insert(tx, holds, [dict(row._mapping) for row in older])

    assert await restore(bench, batch) == 1
    await bench.release()
    await bench.handlers.events([bench.event("e3", "cat", data=order)])
    await bench.release()
    assert await bench.outcomes() == {
        ("e1", "after"): ("suppressed", "same_transaction"),
        ("e2", "after"): ("invited", None),
        ("e3", "after"): ("suppressed", "same_transaction"),
    }
    assert [row.id for row in await bench.rows("invitations")] == [second]


async def test_an_event_finds_its_invitation_where_the_log_has_another_clock(bench: Bench) -> None:
    await bench.put("channel", "sms", {"type": "webhook", "url": "https://sms.example/send"})
    await bench.trigger(channel="sms", contact={"phone": "data.phone"})
    ahead = datetime.now(UTC) + timedelta(minutes=20)
    phone = {"order_no": "1", "phone": "+8613800000000"}
    event = bench.event("e1", "ann", data=phone, arrived_at=ahead)
    await bench.handlers.events([event])
    batch = [
        replace(each, record=replace(each.record, timestamp_ms=int(ahead.timestamp() * 1_000) + 5))
        for each in await announced(bench.database, InvitationChanged)
    ]
    await lose(bench)
    assert await restore(bench, batch) == 1
    await bench.handlers.events([event])
    assert [row.outcome for row in await bench.rows("decisions")] == ["invited"]
    (row,) = await bench.rows("invitations")
    assert row.send_at is not None, "the event brought the contact points"


async def test_two_invitations_of_one_transaction_are_both_restored(bench: Bench) -> None:
    """As they were made by a process that went on when its database fell back: nobody can take one back."""
    await bench.trigger()
    event = bench.event("e1", "ann")
    await bench.handlers.events([event])
    batch = await announced(bench.database, InvitationChanged)
    await lose(bench)
    await bench.handlers.events([event])
    batch += await announced(bench.database, InvitationChanged)
    await lose(bench)
    assert await restore(bench, batch) == 2
    [held] = await bench.rows("holds")
    assert held.decision == batch[0].message.id
    await bench.handlers.events([event])
    assert len(await bench.rows("invitations")) == 2
