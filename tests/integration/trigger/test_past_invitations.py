"""Invitations that are let go of, on both databases: no transaction gets another one."""

from typing import Any

import pytest
import sqlalchemy as sa

from services.trigger.store.retention import kept
from services.trigger.tables import decisions, invitations, leases
from tests.integration.letting_go import BrokenOffError, broken_off, let_go, outlooks
from tests.integration.trigger.conftest import Bench
from tests.support import days_ago, id_of


async def invited(bench: Bench, *orders: str) -> list[str]:
    """An invitation for each of these orders, each of another customer."""
    await bench.handlers.events([bench.event(id, id, data={"order_no": id}) for id in orders])
    return [row.id for row in await bench.rows("invitations", "id")]


async def became(bench: Bench, id: str, days: float, **values: Any) -> str:
    """Let an invitation have been made so many days ago; its id from then on."""
    old = id_of(days_ago(days))
    async with bench.database.begin() as tx:
        own = sa.update(invitations).where(invitations.c.id == id)
        await tx.execute(own.values(id=old, **values))
    return old


async def test_an_invitation_goes_when_it_has_ended_and_its_link_has_expired(bench: Bench) -> None:
    await bench.trigger(transaction="data.order_no")
    made = await invited(bench, "o1", "o2", "o3", "o4")
    past = days_ago(1)
    await became(bench, made[0], 60, state="answered", expires_at=past)
    live = await became(bench, made[1], 60, state="answered")
    open_yet = await became(bench, made[2], 60, expires_at=past)
    young = await became(bench, made[3], 40, state="expired", expires_at=past)
    classes = kept(0, 50)
    assert (await outlooks(bench.database, leases, classes))["invitations"] == 1
    assert await let_go(bench.database, leases, classes) == 1
    assert {row.id for row in await bench.rows("invitations")} == {live, open_yet, young}
    assert (await outlooks(bench.database, leases, classes))["invitations"] == 0


async def test_a_transaction_is_not_invited_again_when_its_invitation_has_gone(
    bench: Bench,
) -> None:
    await bench.trigger(transaction="data.order_no")
    [id] = await invited(bench, "o1")
    gone = await became(bench, id, 60, state="answered", expires_at=days_ago(1))
    async with bench.database.begin() as tx:
        await tx.execute(sa.update(decisions).values(id=gone))
    classes = kept(50, 50)
    with pytest.raises(BrokenOffError):
        await let_go(bench.database, leases, broken_off(classes))
    assert len(await bench.rows("invitations")) == 1
    await let_go(bench.database, leases, classes)
    assert await bench.rows("invitations") == []

    await bench.handlers.events([bench.event("o1", "o1", data={"order_no": "o1"})])
    await bench.handlers.events([bench.event("again", "o1", data={"order_no": "o1"})])
    await bench.handlers.responses([bench.response(gone), bench.response(gone, revision=2)])
    assert await bench.rows("invitations") == []
    [late] = [row for row in await bench.rows("decisions") if row.event == "again"]
    assert (late.outcome, late.reason) == ("suppressed", "same_transaction")
