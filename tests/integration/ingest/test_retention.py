"""Answers and copies of invitations that are let go of: what was answered is not asked again, nor counted again."""

from typing import Any

import pytest
import sqlalchemy as sa

from services.ingest.store.retention import kept
from services.ingest.tables import invitations, leases, past_invitations, responses
from shared.leases import Lease
from tests.integration.ingest.answering import Desk, invitation
from tests.integration.ingest.test_responses import WISH
from tests.integration.letting_go import (
    BrokenOffError,
    broken_off,
    killed_while_letting_go,
    lapse,
    let_go,
    outlooks,
)
from tests.support import days_ago, id_of

KEPT_DAYS = 50
CLASSES = kept(KEPT_DAYS, KEPT_DAYS)


async def age(desk: Desk, days: float, *ids: str) -> None:
    """Let these responses, or all, have been taken in so long ago."""
    statement = sa.update(responses).values(created_at=days_ago(days))
    async with desk.database.begin() as tx:
        await tx.execute(statement.where(responses.c.id.in_(ids)) if ids else statement)


async def forget(desk: Desk) -> int:
    return await let_go(desk.database, leases, CLASSES)


async def shown(desk: Desk, id: str) -> dict[str, Any]:
    found: dict[str, Any] = (await desk.api("GET", f"/v1/responses/{id}")).json()
    return found


async def test_a_forgotten_answer_is_not_given_again_by_any_door(desk: Desk) -> None:
    await desk.hear(invitation("i-1"))
    token = desk.token("i-1", days=30)
    await desk.answer(token, recommend="2", comment="slow")
    [row] = await desk.stored()
    await age(desk, KEPT_DAYS + 2)
    assert await outlooks(desk.database, leases, CLASSES) == {"answers": 1, "invitations": 0}
    assert await forget(desk) == 1
    assert await outlooks(desk.database, leases, CLASSES) == {"answers": 0, "invitations": 0}

    [left] = await desk.stored()
    assert (left.state, left.revision, left.invitation) == ("forgotten", 1, "i-1")
    assert (left.answers, left.joined, left.customer) == ([], {}, None)
    assert (await desk.browser.get(f"/s/{token}")).status_code == 200
    assert "Thank" in (await desk.browser.get(f"/s/{token}")).text
    again = await desk.answer(token, recommend="9")
    assert again.headers["location"].partition("?")[0].endswith("/thanks")
    wish = {"id": "r-2", "survey": "buy", "invitation": "i-1", "answers": {"recommend": 9}}
    assert (await desk.api("POST", "/v1/responses", json=wish)).status_code == 409
    await desk.hear(invitation("i-1", revision=2, state="answered"))
    assert [each.id for each in await desk.stored()] == [row.id]
    assert len(await desk.announced()) == 1


async def test_a_forgotten_response_is_neither_taken_again_nor_changed(desk: Desk) -> None:
    await desk.api("POST", "/v1/responses", json=WISH)
    await age(desk, KEPT_DAYS + 2)
    await forget(desk)
    again = await desk.api("POST", "/v1/responses", json=WISH)
    assert (again.status_code, again.json()["state"]) == (200, "forgotten")
    assert (again.json()["answers"], again.json()["customer"]) == ([], None)
    other = await desk.api("POST", "/v1/responses", json=WISH | {"answers": {"recommend": 4}})
    assert other.json()["type"].endswith("other-body")
    for method, body in (("PUT", {"answers": {"recommend": 9}}), ("DELETE", None)):
        refused = await desk.api(method, "/v1/responses/r-1", json=body)
        assert (refused.status_code, refused.json()["type"][-9:]) == (409, "forgotten")
    assert len(await desk.announced()) == 1


async def test_young_and_parked_answers_stay_and_deleted_ones_lose_whom_they_were_of(
    desk: Desk,
) -> None:
    for id in ("old", "young", "gone"):
        await desk.api("POST", "/v1/responses", json=WISH | {"id": id})
    await desk.api("DELETE", "/v1/responses/gone")
    parked = {"id": "parked", "survey": "buy", "invitation": "i-9", "answers": {"recommend": 9}}
    await desk.api("POST", "/v1/responses", json=parked)
    await age(desk, KEPT_DAYS + 2, "old", "gone", "parked")
    await age(desk, KEPT_DAYS - 2, "young")
    [answers, _] = (await desk.api("GET", "/v1/operations/ingest/retention")).json()["classes"]
    assert answers["oldest_day"] == days_ago(KEPT_DAYS + 2).date().isoformat()
    assert (answers["kept_days"], answers["rows"]) == (None, 0)
    assert await outlooks(desk.database, leases, CLASSES) == {"answers": 2, "invitations": 0}
    assert await forget(desk) == 2
    states = {row.id: row.state for row in await desk.stored()}
    assert states == {
        "old": "forgotten",
        "young": "submitted",
        "gone": "forgotten",
        "parked": "parked",
    }
    assert (await shown(desk, "young"))["customer"]["id"] == "c-9"
    assert (await shown(desk, "gone"))["customer"] is None
    await desk.hear(invitation("i-9"))
    assert (await shown(desk, "parked"))["state"] == "submitted"


async def copies(desk: Desk) -> set[str]:
    async with desk.database.read() as tx:
        known = sa.select(invitations.c.id).where(invitations.c.document.is_not(None))
        return set((await tx.execute(known)).scalars())


async def test_a_copy_goes_once_its_link_has_expired_and_its_stop_still_works(desk: Desk) -> None:
    old, open_yet, young = (id_of(days_ago(days)) for days in (100, 99, 20))
    past = days_ago(10)
    await desk.hear(
        invitation(old, expires_at=past, state="expired"),
        invitation(open_yet),
        invitation(young, expires_at=past, state="expired"),
    )
    assert await outlooks(desk.database, leases, CLASSES) == {"answers": 0, "invitations": 1}
    assert await forget(desk) == 1
    assert await copies(desk) == {open_yet, young}

    expired = desk.token(old, days=-10)
    assert (await desk.browser.get(f"/s/{expired}")).status_code == 410
    assert (await desk.answer(expired, recommend="9")).status_code == 410
    wish = {"id": "r-1", "survey": "buy", "invitation": old, "answers": {"recommend": 9}}
    refused = await desk.api("POST", "/v1/responses", json=wish)
    assert refused.json()["type"].endswith("invitation-expired")
    assert await desk.stored() == []
    assert (await desk.answer(desk.token(open_yet), recommend="9")).status_code == 303

    for _ in range(2):
        await desk.browser.post(f"/s/{expired}/stop")
    assert "Stop asking me?" not in (await desk.browser.get(f"/s/{expired}/stop")).text
    [told] = await desk.announced("customer")
    assert (told["data"]["id"], told["data"]["consent"]) == ("c-1", {"surveys": False})


async def test_a_copy_that_comes_again_late_goes_again(desk: Desk) -> None:
    id = id_of(days_ago(100))
    for revision in (1, 2, 1):
        await desk.hear(invitation(id, revision=revision, expires_at=days_ago(10)))
        assert await forget(desk) == 1
        assert await copies(desk) == set()
    async with desk.database.read() as tx:
        [left] = (await tx.execute(sa.select(past_invitations))).all()
    assert tuple(left) == ("acme", id, "c-1")


async def filled(desk: Desk) -> None:
    """Old answers and old copies of two workspaces."""
    await desk.api("POST", "/v1/responses", json=WISH)
    await age(desk, KEPT_DAYS + 2)
    for workspace in ("acme", "other"):
        old = invitation(id_of(days_ago(100)), expires_at=days_ago(10))
        await desk.hear(old, workspace=workspace)


async def test_what_is_broken_off_has_changed_nothing_and_is_done_next_time(desk: Desk) -> None:
    await filled(desk)
    before = await desk.everything()
    for one in broken_off(CLASSES):
        with pytest.raises(BrokenOffError):
            await let_go(desk.database, leases, [one])
    assert await desk.everything() == before
    assert await forget(desk) == 3


async def test_a_kill_in_the_middle_is_harmless(desk: Desk, database_url: str) -> None:
    await filled(desk)
    before = await desk.everything()
    await killed_while_letting_go("ingest", database_url, f"[{KEPT_DAYS}, {KEPT_DAYS}]")
    assert await desk.everything() == before
    await lapse(desk.database, leases)
    assert await forget(desk) == 3


async def test_an_operator_can_have_it_done_now(desk: Desk) -> None:
    await filled(desk)
    async with desk.database.begin() as tx:
        await tx.execute(sa.update(invitations).values(id=id_of(days_ago(500))))
    path = "/v1/operations/ingest/retention"
    done = [(await desk.api("POST", path)).json() for _ in range(2)]
    assert done == [
        {"service": "ingest", "rows": 2, "busy": False},
        {"service": "ingest", "rows": 0, "busy": False},
    ]
    assert await copies(desk) == set()


async def test_only_one_replica_is_at_it(desk: Desk) -> None:
    assert await Lease(desk.database, leases, "retention").hold()
    told = (await desk.api("POST", "/v1/operations/ingest/retention")).json()
    assert told == {"service": "ingest", "rows": 0, "busy": True}
