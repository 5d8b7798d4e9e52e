"""The copies of invitations: parked answers and stops are applied when the copy comes, once, in any order."""

import asyncio

from tests.integration.ingest.answering import Desk, invitation


async def test_a_parked_answer_is_seen_then_joined_and_announced_once(desk: Desk) -> None:
    assert (await desk.answer(desk.token("i-1"), recommend="2", comment="slow")).status_code == 303
    assert await desk.announced() == []
    [parked] = (await desk.api("GET", "/v1/responses", params={"state": "parked"})).json()["items"]
    assert parked["invitation"] == "i-1"
    assert parked["day"] is None
    status = (await desk.api("GET", "/v1/operations/ingest/status")).json()
    assert status["checks"][0]["detail"].startswith("1 ")
    for _ in range(2):
        await desk.hear(invitation("i-1"), invitation("i-1"), invitation("i-2"))
    await desk.hear(invitation("i-1", revision=2, state="answered"))
    [message] = await desk.announced()
    assert message["data"]["revision"] == 1
    assert message["data"]["day"] == "2026-03-02"
    assert [answer["value"] for answer in message["data"]["answers"]] == [2, "slow"]
    assert (await desk.api("GET", f"/v1/responses/{parked['id']}")).json()["state"] == "submitted"
    status = (await desk.api("GET", "/v1/operations/ingest/status")).json()
    assert status["checks"][0]["state"] == "ok"


async def test_only_newer_revisions_are_taken_over(desk: Desk) -> None:
    await desk.hear(invitation("i-1", revision=3, state="stopped"), invitation("i-1", revision=2))
    await desk.hear(invitation("i-1", revision=1))
    assert (await desk.answer(desk.token("i-1"), recommend="2")).status_code == 410
    await desk.hear(invitation("i-1", revision=4))
    assert (await desk.answer(desk.token("i-1"), recommend="9")).status_code == 303


async def test_the_copy_and_the_answer_never_miss_each_other(desk: Desk) -> None:
    ids = [f"i-{n}" for n in range(12)]
    batch = [invitation(id) for id in ids]
    answers = [desk.answer(desk.token(id), recommend="9") for id in ids]
    await asyncio.gather(*answers[:6], desk.hear(*batch), desk.hear(*reversed(batch)), *answers[6:])
    assert {row.state for row in await desk.stored()} == {"submitted"}
    announced = [message["data"]["invitation"] for message in await desk.announced()]
    assert sorted(announced) == sorted(ids)


async def test_a_batch_may_hold_two_workspaces_with_the_same_ids(desk: Desk) -> None:
    other = await desk.api("PUT", "/v1/surveys/buy", workspace="other", json={
        "title": {"en": "Other"},
        "questions": [{"id": "recommend", "kind": "nps", "text": {"en": "Recommend?"}}],
    })  # fmt: skip
    assert other.status_code == 201
    await desk.answer(desk.token("i-1"), recommend="9")
    await desk.answer(desk.token("i-1", workspace="other"), recommend="1")
    await desk.hear(invitation("i-1"), workspace="other")
    [message] = await desk.announced()
    assert message["key"] == "other/c-1"
    assert message["data"]["day"] == "2026-03-01"
    assert message["data"]["answers"][0]["value"] == 1


async def test_stop_is_recorded_as_the_customers_consent(desk: Desk) -> None:
    profile = {"attributes": {"tier": "gold"}, "consent": {"email": True}}
    await desk.api("PUT", "/v1/customers/c-1", json=profile)
    await desk.hear(invitation("i-1"))
    token = desk.token("i-1", days=-1)
    question = await desk.browser.get(f"/s/{token}/stop")
    assert "Stop asking me?" in question.text
    for _ in range(2):
        done = await desk.browser.post(f"/s/{token}/stop", data={"List-Unsubscribe": "One-Click"})
        assert done.status_code == 303
        assert (
            "no longer send you surveys" in (await desk.browser.get(done.headers["location"])).text
        )
    changes = await desk.announced("customer")
    assert [change["data"]["revision"] for change in changes] == [1, 2]
    assert changes[1]["key"] == "acme/c-1"
    assert changes[1]["data"]["consent"] == {"email": True, "surveys": False}
    assert changes[1]["data"]["attributes"] == {"tier": "gold"}
    customer = (await desk.api("GET", "/v1/customers/c-1")).json()
    assert customer["consent"] == {"email": True, "surveys": False}


async def test_a_stop_before_the_copy_is_parked_and_applied(desk: Desk) -> None:
    token = desk.token("i-1")
    for _ in range(2):
        await desk.browser.post(f"/s/{token}/stop")
    assert "Done" in (await desk.browser.get(f"/s/{token}/stop")).text
    assert await desk.announced("customer") == []
    for _ in range(2):
        await desk.hear(invitation("i-1"))
    [change] = await desk.announced("customer")
    assert change["data"]["id"] == "c-1"
    assert change["data"]["consent"] == {"surveys": False}
    assert "Done" in (await desk.browser.get(f"/s/{token}/stop")).text


async def test_a_customer_put_that_says_nothing_of_surveys_keeps_the_stop(desk: Desk) -> None:
    await desk.hear(invitation("i-1"))
    await desk.browser.post(f"/s/{desk.token('i-1')}/stop")
    await desk.api("PUT", "/v1/customers/c-1", json={"attributes": {"tier": "gold"}})
    assert (await desk.api("GET", "/v1/customers/c-1")).json()["consent"] == {"surveys": False}
    await desk.api("PUT", "/v1/customers/c-1", json={"consent": {"surveys": True}})
    assert (await desk.api("GET", "/v1/customers/c-1")).json()["consent"] == {"surveys": True}
