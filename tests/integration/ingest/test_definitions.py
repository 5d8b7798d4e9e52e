"""Surveys with their versions, journeys and units, over HTTP and as announced."""

import asyncio
from typing import Any

from services.ingest.store import surveys as store
from shared.contracts.envelope import decode_message
from shared.contracts.messages import DefinitionChanged
from shared.contracts.values import DefinitionState
from tests.integration.ingest.conftest import Ingest
from tests.support import eventually

EN = {"en": "Why?"}
SURVEY: dict[str, Any] = {
    "title": EN,
    "questions": [{"id": "recommend", "kind": "nps", "text": EN}],
}
NEXT: dict[str, Any] = SURVEY | {"title": {"en": "How?"}}
DRAFT = {"state": "draft"}
PATH = "/v1/surveys/buy"
Announced = tuple[int, DefinitionState, Any]


async def announced(ingest: Ingest, count: int) -> list[Announced]:
    async def look() -> list[Announced] | None:
        found = [decode_message(record) for record in await ingest.records("definitions")]
        messages = [
            (each.message.revision, each.message.state, each.message.document.get("title"))
            for each in found
            if each is not None and isinstance(each.message, DefinitionChanged)
        ]
        return messages if len(messages) >= count else None

    async with ingest.working():
        messages = await eventually(look, what=f"{count} announcements")
    assert len(messages) == count
    return messages


async def published(ingest: Ingest, workspace: str = "acme") -> tuple[int, Any] | None:
    async with ingest.database.read() as tx:
        found = await store.published_survey(tx, workspace, "buy")
    return (found[0], found[1]["title"]) if found else None


async def latest(ingest: Ingest) -> tuple[int, Any] | None:
    async with ingest.database.read() as tx:
        found = await store.latest_version(tx, "acme", "buy")
    return (found[0], found[1]["title"]) if found else None


async def test_a_draft_is_beside_what_is_published_until_it_is_published(ingest: Ingest) -> None:
    first = await ingest.call("PUT", PATH, json=SURVEY | DRAFT)
    assert (first.status_code, first.json()["state"], first.json()["version"]) == (201, "draft", 1)
    assert await published(ingest) is None
    assert await latest(ingest) == (1, EN)
    answer = (await ingest.call("PUT", PATH, json=SURVEY)).json()
    assert (answer["state"], answer["version"], answer["draft"]) == ("published", 2, None)
    for _ in range(2):
        answer = (await ingest.call("PUT", PATH, json=NEXT | DRAFT)).json()
        assert (answer["state"], answer["title"], answer["version"], answer["draft"]) == (
            "published",
            EN,
            2,
            3,
        )
    assert (await published(ingest), await latest(ingest)) == ((2, EN), (3, {"en": "How?"}))
    answer = (await ingest.call("PUT", PATH, json=NEXT)).json()
    assert (answer["title"], answer["version"], answer["draft"]) == (NEXT["title"], 4, None)
    assert await published(ingest) == (4, NEXT["title"])
    assert await announced(ingest, 3) == [
        (1, "draft", EN),
        (2, "published", EN),
        (3, "published", NEXT["title"]),
    ]


async def test_versions_are_listed_and_read_and_outlive_the_survey(ingest: Ingest) -> None:
    for body in (SURVEY, NEXT, SURVEY):
        await ingest.call("PUT", PATH, json=body)
    page = (await ingest.call("GET", f"{PATH}/versions?limit=2")).json()
    assert [item["version"] for item in page["items"]] == [3, 2]
    rest = (await ingest.call("GET", f"{PATH}/versions?cursor={page['next']}")).json()
    assert [item["version"] for item in rest["items"]] == [1]
    assert (await ingest.call("GET", f"{PATH}/versions/2")).json()["title"] == NEXT["title"]
    assert (await ingest.call("DELETE", PATH)).status_code == 204
    assert await published(ingest) is None
    async with ingest.database.read() as tx:
        assert await store.survey_version(tx, "acme", "buy", 2) is not None
        assert await store.survey_version(tx, "other", "buy", 2) is None
    answer = await ingest.call("PUT", PATH, json=NEXT)
    assert (answer.status_code, answer.json()["version"]) == (201, 4)


async def test_another_workspace_sees_no_survey_and_no_version(ingest: Ingest) -> None:
    await ingest.call("PUT", PATH, json=SURVEY)
    for path in (PATH, f"{PATH}/versions", f"{PATH}/versions/1"):
        foreign = await ingest.call("GET", path, workspace="other")
        unknown = await ingest.call("GET", path.replace("buy", "not"), workspace="other")
        assert (foreign.status_code, unknown.status_code) == (404, 404)
    assert await published(ingest, "other") is None
    assert (await ingest.call("GET", f"{PATH}/versions/99999999999")).status_code == 422


async def test_apply_reports_a_draft_and_a_dry_run_writes_nothing(ingest: Ingest) -> None:
    await ingest.call("PUT", PATH, json=SURVEY)
    documents = [{"kind": "survey", "id": "buy"} | NEXT | DRAFT]
    for dry, action in (("?dry-run=true", "update"), ("", "update"), ("", "unchanged")):
        answer = await ingest.call("POST", f"/v1/apply/ingest{dry}", json={"documents": documents})
        assert [change["action"] for change in answer.json()["changes"]] == [action]
    assert await latest(ingest) == (2, NEXT["title"])


async def test_first_puts_at_once_are_revisions_or_tried_again(ingest: Ingest) -> None:
    bodies = [SURVEY | {"title": {"en": f"Title {n}"}} for n in range(6)]
    answers = await asyncio.gather(*(ingest.call("PUT", PATH, json=body) for body in bodies))
    taken = [answer for answer in answers if answer.status_code in (200, 201)]
    assert taken
    assert {answer.status_code for answer in answers} <= {200, 201, 503}
    found = await announced(ingest, len(taken))
    assert [revision for revision, _, _ in found] == list(range(1, len(taken) + 1))
    assert await published(ingest) == (len(taken), found[-1][2])


async def test_a_unit_is_never_above_itself(ingest: Ingest) -> None:
    made = await ingest.call("PUT", "/v1/units/shop", json={"parent": "east", "aliases": ["1001"]})
    assert made.json()["unresolved"] == [{"kind": "unit", "id": "east", "at": "parent"}]
    assert (await ingest.call("PUT", "/v1/units/east", json={"parent": "cn"})).status_code == 201
    refused = await ingest.call("PUT", "/v1/units/cn", json={"parent": "shop"})
    assert (refused.status_code, refused.json()["errors"][0]["at"]) == (422, "parent")
    assert (await ingest.call("GET", "/v1/units/cn")).status_code == 404
    assert (await ingest.call("PUT", "/v1/units/own", json={"parent": "own"})).status_code == 422
    circle = [
        {"kind": "unit", "id": "a", "parent": "b"},
        {"kind": "unit", "id": "b", "parent": "a"},
    ]
    refused = await ingest.call("POST", "/v1/apply/ingest", json={"documents": circle})
    places = [error["at"] for error in refused.json()["errors"]]
    assert (refused.status_code, places) == (422, ["documents[0].parent", "documents[1].parent"])
    assert (await ingest.call("GET", "/v1/units/shop")).json()["unresolved"] == []


async def test_a_journey_is_kept_as_it_was_put(ingest: Ingest) -> None:
    steps = [{"id": "checkout", "name": EN, "drivers": [{"id": "speed", "name": EN}]}]
    put = await ingest.call("PUT", "/v1/journeys/buy", json={"name": EN, "touchpoints": steps})
    assert put.status_code == 201
    assert (await ingest.call("GET", "/v1/journeys/buy")).json()["touchpoints"] == steps
