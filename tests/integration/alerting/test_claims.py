"""Deliveries claimed, and attempts written down while they did not stand still, on both databases."""

from typing import Any

import pytest
import sqlalchemy as sa

from services.alerting.recording import Turn, once, record_arrived, record_others
from services.alerting.rules.sending import Room
from services.alerting.store.claims import Claimed, claim, lanes_due
from services.alerting.tables import attempts, deliveries
from shared.db import now
from shared.webhook import Reply, outcome
from tests.integration.alerting.conftest import Alerting
from tests.unit.alerting.responses import received, response

CRM = Room(("acme", "crm"), 10)
ARRIVED = Reply(204, None, "", None, 0.1)
FAILED = Reply(500, None, "oops", None, 0.1)


async def under_way(alerting: Alerting, count: int = 1) -> list[Claimed]:
    """Deliveries to the endpoint `crm` that a dispatcher has claimed and not recorded."""
    await alerting.put_rule()
    await alerting.put_endpoint("http://127.0.0.1:9009/hook")
    await alerting.handle(*(received(response(f"r{n}")) for n in range(count)))
    async with alerting.database.begin() as tx:
        return await claim(tx, [CRM], await now(tx), lease_seconds=60)


async def turn(alerting: Alerting, claimed: Claimed, reply: Reply | None) -> Turn:
    async with alerting.database.read() as tx:
        return Turn(claimed, await now(tx), reply, outcome(reply) if reply else None)


async def record(alerting: Alerting, *turns: Turn) -> None:
    async with alerting.database.begin() as tx:
        if all(one.outcome == "delivered" for one in turns):
            await record_arrived(tx, turns)
        else:
            await record_others(tx, turns, lambda: 0.5)


async def shown(alerting: Alerting, claimed: Claimed) -> dict[str, Any]:
    found: dict[str, Any] = await alerting.get(f"/v1/deliveries/{claimed.id}")
    return found


async def test_what_arrived_after_its_endpoint_was_deleted_is_delivered(alerting: Alerting) -> None:
    [claimed] = await under_way(alerting)
    await alerting.call("DELETE", "/v1/endpoints/crm", expect=204)
    assert (await shown(alerting, claimed))["state"] == "cancelled"
    await record(alerting, await turn(alerting, claimed, ARRIVED))
    found = await shown(alerting, claimed)
    assert (found["state"], found["reason"], found["attempts"]) == ("delivered", None, 1)
    assert [(a["number"], a["status"]) for a in found["log"]] == [(1, 204)]


async def test_what_failed_after_its_endpoint_was_deleted_stays_cancelled(
    alerting: Alerting,
) -> None:
    [claimed] = await under_way(alerting)
    await alerting.call("DELETE", "/v1/endpoints/crm", expect=204)
    await record(alerting, await turn(alerting, claimed, FAILED))
    found = await shown(alerting, claimed)
    assert (found["state"], found["reason"]) == ("cancelled", "endpoint_deleted")
    assert [(a["number"], a["status"]) for a in found["log"]] == [(1, 500)]


@pytest.mark.parametrize("reply", [ARRIVED, FAILED, None])
async def test_a_delivery_that_was_deleted_meanwhile_stays_so(
    alerting: Alerting, reply: Reply | None
) -> None:
    kept, gone = await under_way(alerting, 2)
    turns = [await turn(alerting, one, reply) for one in (kept, gone)]
    async with alerting.database.begin() as tx:
        await tx.execute(sa.delete(deliveries).where(deliveries.c.id == gone.id))
    await record(alerting, *turns)
    assert [one["id"] for one in await alerting.deliveries()] == [kept.id]
    async with alerting.database.read() as tx:
        made = set(await tx.scalars(sa.select(attempts.c.delivery)))
    assert made == ({kept.id} if reply else set())


async def test_each_attempt_stands_in_the_log_with_its_number(alerting: Alerting) -> None:
    some = await under_way(alerting, 3)
    failed = [await turn(alerting, one, FAILED) for one in some]
    await record(alerting, failed[0], await turn(alerting, some[1], None), failed[2])
    await record(alerting, *[await turn(alerting, one, ARRIVED) for one in some])
    logs = [(await shown(alerting, one))["log"] for one in some]
    assert [[(a["number"], a["status"]) for a in log] for log in logs] == [
        [(1, 500), (2, 204)],
        [(1, 204)],
        [(1, 500), (2, 204)],
    ]
    assert {d["state"] for d in await alerting.deliveries()} == {"delivered"}


async def test_a_delivery_that_was_made_twice_before_it_was_recorded(alerting: Alerting) -> None:
    [claimed] = await under_way(alerting)
    first = await turn(alerting, claimed, ARRIVED)
    turns = [first, first._replace(reply=ARRIVED._replace(status=200))]
    assert once(turns) == [first]
    for each in turns:
        await record(alerting, *once([each]))
    found = await shown(alerting, claimed)
    assert [(a["number"], a["status"]) for a in found["log"]] == [(1, 204), (2, 200)]


async def test_a_claim_takes_no_more_than_there_is_room_for_and_nothing_twice(
    alerting: Alerting,
) -> None:
    await alerting.put_rule()
    for id in ("crm", "erp", "bi"):
        await alerting.put_endpoint("http://127.0.0.1:9009/hook", id)
    await alerting.handle(*(received(response(f"r{n}")) for n in range(9)))
    places = [Room(("acme", "crm"), 4), Room(("acme", "erp"), 20), Room(("acme", "bi"), 1)]
    taken: list[Claimed] = []
    for _ in range(3):
        async with alerting.database.begin() as tx:
            taken += await claim(tx, places, await now(tx), lease_seconds=60)
    lanes = [one.lane[1] for one in taken]
    assert {id: lanes.count(id) for id in lanes} == {"crm": 9, "erp": 9, "bi": 3}
    assert len({one.id for one in taken}) == len(taken)


async def test_many_endpoints_are_claimed_for_at_once(alerting: Alerting) -> None:
    await alerting.put_rule()
    for n in range(37):
        await alerting.put_endpoint("http://127.0.0.1:9009/hook", f"e{n}")
    await alerting.handle(*(received(response(f"r{n}")) for n in range(2)))
    async with alerting.database.read() as tx:
        at, lanes = await lanes_due(tx)
    async with alerting.database.begin() as tx:
        taken = await claim(tx, [Room(lane, 1) for lane in lanes], at, lease_seconds=60)
    assert sorted(one.lane for one in taken) == lanes
    assert len(lanes) == 37
