"""Responses over the API: one per id and invitation, strict answers, revisions, and the walls between workspaces."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.integration.ingest.answering import Desk, invitation, open_desk

WISH: dict[str, Any] = {
    "id": "r-1",
    "survey": "buy",
    "customer": "c-9",
    "data": {"amount": 5, "gift": None},
    "dimensions": {"org": "old-12", "product": "shoes"},
    "journey": "buy",
    "touchpoint": "checkout",
    "channel": "app",
    "locale": "en",
    "answers": {"recommend": 3, "comment": " slow "},
}


async def test_a_response_brings_its_own_and_a_retry_changes_nothing(desk: Desk) -> None:
    await desk.api(
        "PUT",
        "/v1/customers/c-9",
        json={"attributes": {"tier": "gold"}, "contact": {"email": "a@b.c"}},
    )
    await desk.api("PUT", "/v1/units/east", json={"name": {"en": "East"}})
    await desk.api("PUT", "/v1/units/s12", json={"aliases": ["old-12", "shoes"], "parent": "east"})
    first = await desk.api("POST", "/v1/responses", json=WISH)
    assert first.status_code == 201
    again = await desk.api("POST", "/v1/responses", json=WISH)
    assert (again.status_code, again.json()) == (200, first.json())
    other = await desk.api("POST", "/v1/responses", json=WISH | {"answers": {"recommend": 4}})
    assert other.status_code == 409
    [message] = await desk.announced()
    assert message["key"] == "acme/c-9"
    data = message["data"]
    assert data["customer"] == {"id": "c-9", "attributes": {"tier": "gold"}}
    assert data["dimensions"] == {
        "org": {"value": "s12", "path": "east/s12"},
        "product": {"value": "shoes", "path": "shoes"},
    }
    assert data["transaction"]["data"] == {"amount": 5, "gift": None}
    assert [answer["value"] for answer in data["answers"]] == [3, "slow"]


async def test_the_same_response_at_once_is_one(desk: Desk) -> None:
    posts = await asyncio.gather(*(desk.api("POST", "/v1/responses", json=WISH) for _ in range(20)))
    assert sorted(post.status_code for post in posts) == [200] * 19 + [201]
    assert len(await desk.announced()) == 1


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"answers": {"recommend": "9"}}, "answers.recommend"),
    ({"answers": {"recommend": True}}, "answers.recommend"),
    ({"answers": {"recommend": 9.0}}, "answers.recommend"),
    ({"answers": {"recommend": 11}}, "answers.recommend"),
    ({"answers": {"recommend": [9]}}, "answers.recommend"),
    ({"answers": {}}, "answers.recommend"),
    ({"answers": {"recommend": None}}, "answers.recommend"),
    ({"answers": {"recommend": 3, "comment": "y" * 51}}, "answers.comment"),
    ({"answers": {"recommend": 3, "comment": 5}}, "answers.comment"),
    ({"answers": {"recommend": 9, "other": 1}}, "answers.other"),
    ({"survey": "nothing"}, "survey"),
    ({"survey_version": 7}, "survey_version"),
    ({"survey_version": "1"}, "survey_version"),
    ({"submitted_at": (datetime.now(UTC) + timedelta(hours=1)).isoformat()}, "submitted_at"),
    ({"submitted_at": "0001-01-01T00:00:00+14:00"}, "submitted_at"),
    ({"invitation": "i-1"}, "customer"),
    ({"id": "a/b"}, "id"),
    ({"extra": 1}, "extra"),
    ({"answers": {"recommend": 10**30}}, "answers.recommend"),
    ({"data": {"n": 10**39}}, "data.n"),
    ({"data": {"basket": "x" * 256 * 1024}}, "data"),
    ({"dimensions": {f"d{n}": "x" for n in range(21)}}, "dimensions"),
    ({"customer": "a\x01"}, "customer"),
]


async def test_what_is_wrong_is_named_and_changes_nothing(desk: Desk) -> None:
    before = await desk.everything()
    for change, at in WRONG:
        answer = await desk.api("POST", "/v1/responses", json=WISH | change)
        assert answer.status_code == 422, change
        assert at in [error["at"] for error in answer.json()["errors"]]
    assert await desk.everything() == before


async def test_an_invitation_has_one_answer_whichever_door(desk: Desk) -> None:
    wish = {"id": "r-1", "survey": "buy", "invitation": "i-1", "answers": {"recommend": 9}}
    assert (await desk.api("POST", "/v1/responses", json=wish)).json()["state"] == "parked"
    await desk.hear(
        invitation("i-1"), invitation("i-2", survey="else"), invitation("i-3", state="stopped")
    )
    assert (await desk.api("POST", "/v1/responses", json=wish)).json()["state"] == "submitted"
    taken = await desk.api("POST", "/v1/responses", json=wish | {"id": "r-2"})
    assert taken.status_code == 409
    assert "r-1" in taken.json()["detail"]
    assert (await desk.answer(desk.token("i-1"), recommend="0")).status_code == 303
    wrong = await desk.api("POST", "/v1/responses", json=wish | {"id": "r-3", "invitation": "i-2"})
    assert wrong.json()["errors"][0]["at"] == "survey"
    stopped = await desk.api(
        "POST", "/v1/responses", json=wish | {"id": "r-4", "invitation": "i-3"}
    )
    assert stopped.status_code == 409
    assert len(await desk.stored()) == 1
    assert len(await desk.announced()) == 1


async def test_edits_and_deletion_are_revisions(desk: Desk) -> None:
    await desk.api("POST", "/v1/responses", json=WISH)
    edit = {"answers": {"recommend": 9, "comment": "hidden now"}}
    for _ in range(2):
        edited = await desk.api("PUT", "/v1/responses/r-1", json=edit)
        assert (edited.status_code, edited.json()["revision"]) == (200, 2)
    wrong = await desk.api("PUT", "/v1/responses/r-1", json={"answers": {"recommend": 99}})
    assert wrong.json()["errors"][0]["at"] == "answers.recommend"
    for _ in range(2):
        assert (await desk.api("DELETE", "/v1/responses/r-1")).status_code == 204
    assert (await desk.api("PUT", "/v1/responses/r-1", json=edit)).status_code == 409
    gone = (await desk.api("GET", "/v1/responses/r-1")).json()
    assert (gone["state"], gone["answers"]) == ("deleted", [])
    told = [message["data"] for message in await desk.announced()]
    assert [(each["revision"], each["state"], len(each["answers"])) for each in told] == [
        (1, "submitted", 2), (2, "submitted", 1), (3, "deleted", 0),
    ]  # fmt: skip
    assert len({each["day"] for each in told}) == 1


async def test_a_parked_answer_can_be_edited_and_deleted_before_anybody_knows(desk: Desk) -> None:
    for id in ("1", "2"):
        wish = {
            "id": f"r-{id}",
            "survey": "buy",
            "invitation": f"i-{id}",
            "answers": {"recommend": 9},
        }
        await desk.api("POST", "/v1/responses", json=wish)
    assert (
        await desk.api("PUT", "/v1/responses/r-1", json={"answers": {"recommend": 10}})
    ).status_code == 200
    assert (await desk.api("DELETE", "/v1/responses/r-2")).status_code == 204
    await desk.hear(invitation("i-1"), invitation("i-2"))
    [message] = await desk.announced()
    assert (message["data"]["id"], message["data"]["revision"]) == ("r-1", 1)
    assert message["data"]["answers"][0]["value"] == 10


async def test_the_edit_window_closes(database_url: str, tmp_path: Path) -> None:
    async with open_desk(database_url, tmp_path, edit_window=timedelta(0)) as desk:
        await desk.api("POST", "/v1/responses", json=WISH)
        late = await desk.api("PUT", "/v1/responses/r-1", json={"answers": {"recommend": 9}})
        assert (late.status_code, late.json()["type"]) == (409, "/problems/edit-window")


async def test_lists_are_filtered_and_paged(desk: Desk) -> None:
    for n in range(5):
        wish = WISH | {
            "id": f"r-{n}",
            "customer": f"c-{n % 2}",
            "submitted_at": f"2026-01-0{n + 1}T12:00:00Z",
        }
        assert (await desk.api("POST", "/v1/responses", json=wish)).status_code == 201
    seen: list[str] = []
    query: dict[str, Any] = {"limit": 2}
    while True:
        page = (await desk.api("GET", "/v1/responses", params=query)).json()
        seen += [item["id"] for item in page["items"]]
        if page.get("next") is None:
            break
        query["cursor"] = page["next"]
    assert seen == ["r-4", "r-3", "r-2", "r-1", "r-0"]
    for params, expected in (
        ({"customer": "c-1"}, ["r-3", "r-1"]),
        ({"from": "2026-01-02", "to": "2026-01-03"}, ["r-2", "r-1"]),
        ({"survey": "none"}, []),
        ({"state": "parked"}, []),
        ({"invitation": "i"}, []),
    ):
        items = (await desk.api("GET", "/v1/responses", params=params)).json()["items"]
        assert [item["id"] for item in items] == expected, params
    assert (await desk.api("GET", "/v1/responses", params={"cursor": "zz"})).status_code == 422


async def test_another_workspaces_ids_are_unknown_ids(desk: Desk) -> None:
    await desk.api("POST", "/v1/responses", json=WISH)
    for method, body in (("GET", None), ("PUT", {"answers": {}}), ("DELETE", None)):
        foreign = await desk.api(method, "/v1/responses/r-1", workspace="other", json=body)
        unknown = await desk.api(method, "/v1/responses/r-1".replace("r-1", "r-0"), json=body)
        assert (foreign.status_code, unknown.status_code) == (404, 404)
        assert foreign.json()["detail"].replace("r-1", "") == unknown.json()["detail"].replace(
            "r-0", ""
        )
    assert (await desk.api("GET", "/v1/responses", workspace="other")).json()["items"] == []
    assert len(await desk.announced()) == 1
