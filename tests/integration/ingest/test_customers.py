"""Customers over HTTP: stored once, announced with their revision, invisible to other workspaces."""

import asyncio
from typing import Any
from urllib.parse import quote

from shared.contracts.envelope import decode_message
from shared.contracts.messages import CustomerChanged
from tests.integration.ingest.conftest import Ingest
from tests.support import eventually

MEI = {
    "attributes": {"tier": "gold", "visits": 3},
    "contact": {"email": "mei@example.com", "phone": "+8613800000000"},
    "locale": "zh-CN",
    "time_zone": "Asia/Shanghai",
    "consent": {"survey": True},
}
HOSTILE_IDS = ["a/b", "顾客 一", "😀", "..%2F", "a?b#c", "x" * 255, "a//b", "/a/", "versions"]


async def announced(ingest: Ingest, count: int) -> list[tuple[str, CustomerChanged]]:
    """What the customers topic holds once it holds so many, in the order of each customer's revisions."""

    async def look() -> list[tuple[str, CustomerChanged]] | None:
        found = [decode_message(record) for record in await ingest.records("customers")]
        messages = [
            (each.workspace, each.message)
            for each in found
            if each is not None and isinstance(each.message, CustomerChanged)
        ]
        return messages if len(messages) >= count else None

    async with ingest.working():
        messages = await eventually(look, what=f"{count} announcements")
    assert len(messages) == count
    return messages


async def test_any_id_that_an_event_may_have(ingest: Ingest) -> None:
    for id in HOSTILE_IDS:
        path = f"/v1/customers/{quote(id, safe='')}"
        made = await ingest.call("PUT", path, json=MEI)
        assert made.status_code == 201, made.text
        assert made.json() == MEI | {
            "id": id,
            "revision": 1,
            "changed_at": made.json()["changed_at"],
            "changed_by": "key-acme",
        }
        assert (await ingest.call("GET", path)).json() == made.json()
        assert (await ingest.call("DELETE", path)).status_code == 204
        assert (await ingest.call("GET", path)).status_code == 404


async def test_each_change_is_one_revision_and_one_announcement(ingest: Ingest) -> None:
    path = "/v1/customers/mei"
    answers = [
        await ingest.call("PUT", path, json=body) for body in (MEI, MEI, {"locale": "en"}, MEI)
    ]
    assert [(a.status_code, a.json()["revision"]) for a in answers] == [
        (201, 1),
        (200, 1),
        (200, 2),
        (200, 3),
    ]
    assert (await ingest.call("DELETE", path)).status_code == 204
    assert (await ingest.call("DELETE", path)).status_code == 404
    again = await ingest.call("PUT", path, json={})
    assert (again.status_code, again.json()["revision"]) == (201, 5)
    messages = [message for _, message in await announced(ingest, 5)]
    assert [(m.revision, m.state) for m in messages] == [
        (1, "active"),
        (2, "active"),
        (3, "active"),
        (4, "erased"),
        (5, "active"),
    ]
    assert messages[2].model_dump(include=set(MEI)) == MEI
    assert not any(messages[3].model_dump(include=set(MEI)).values())


async def test_bulk_is_all_or_nothing(ingest: Ingest) -> None:
    await ingest.call("PUT", "/v1/customers/b", json={})
    wrong = [{"id": "a"}, {"id": "b", "time_zone": "Mars"}, {"id": "a"}, {"id": ""}]
    refused = await ingest.call("POST", "/v1/customers", json={"customers": wrong})
    assert refused.status_code == 422
    assert [error["at"] for error in refused.json()["errors"]] == [
        "customers[1].time_zone",
        "customers[2].id",
        "customers[3].id",
    ]
    assert (await ingest.call("GET", "/v1/customers/a")).status_code == 404
    right = [{"id": "b"}, *({"id": f"c{n:03}", "attributes": {"n": n}} for n in range(999))]
    taken = await ingest.call("POST", "/v1/customers", json={"customers": right})
    assert taken.json() == {"created": 999, "updated": 0, "unchanged": 1}
    right[1] = {"id": "c000", "locale": "zh"}
    again = await ingest.call("POST", "/v1/customers", json={"customers": right})
    assert again.json() == {"created": 0, "updated": 1, "unchanged": 999}
    assert len(await announced(ingest, 1_001)) == 1_001
    many = await ingest.call("POST", "/v1/customers", json={"customers": [{"id": "x"}] * 1_001})
    assert many.status_code == 422


async def test_pages_follow_their_cursor(ingest: Ingest) -> None:
    ids = ["a", "a/b", "B", "c", "顾客"]
    await ingest.call("POST", "/v1/customers", json={"customers": [{"id": id} for id in ids]})
    await ingest.call("DELETE", "/v1/customers/c")
    seen: list[str] = []
    cursor: str | None = None
    for _ in range(3):
        params: dict[str, Any] = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = (await ingest.call("GET", "/v1/customers", params=params)).json()
        seen += [item["id"] for item in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert sorted(seen) == sorted(set(ids) - {"c"})
    assert (await ingest.call("GET", "/v1/customers", workspace="other")).json()["items"] == []


async def test_another_workspace_sees_what_is_not_there(ingest: Ingest) -> None:
    await ingest.call("PUT", "/v1/customers/mei", json=MEI)
    for method in ("GET", "DELETE"):
        foreign = await ingest.call(method, "/v1/customers/mei", workspace="other")
        unknown = await ingest.call(method, "/v1/customers/mei", workspace="other")
        assert foreign.status_code == unknown.status_code == 404
        assert foreign.json()["detail"] == unknown.json()["detail"]
    mine = await ingest.call("PUT", "/v1/customers/mei", workspace="other", json={"locale": "en"})
    assert mine.status_code == 201
    assert (await ingest.call("GET", "/v1/customers/mei")).json()["locale"] == "zh-CN"


async def test_concurrent_writes_of_one_new_customer_are_revisions_in_a_row(ingest: Ingest) -> None:
    bodies = [{"attributes": {"n": n}} for n in range(8)]
    answers = await asyncio.gather(
        *(ingest.call("PUT", "/v1/customers/mei", json=body) for body in bodies)
    )
    assert sorted(a.json()["revision"] for a in answers) == list(range(1, 9))
    assert sorted(a.status_code for a in answers) == [200] * 7 + [201]
    messages = [message for _, message in await announced(ingest, 8)]
    assert [message.revision for message in messages] == list(range(1, 9))
    last = (await ingest.call("GET", "/v1/customers/mei")).json()
    assert messages[-1].attributes == last["attributes"]


HOSTILE: list[tuple[str, bytes, str, int]] = [
    ("no JSON", b"{", "application/json", 400),
    ("text", b"{}", "text/plain", 415),
    ("NaN", b'{"attributes": {"a": NaN}}', "application/json", 400),
    ("1e999", b'{"attributes": {"a": 1e999}}', "application/json", 400),
    ("5,000 digits", b'{"attributes": {"a": ' + b"9" * 5_000 + b"}}", "application/json", 400),
    ("40 digits", b'{"attributes": {"a": ' + b"9" * 40 + b"}}", "application/json", 422),
    ("NUL", rb'{"attributes": {"a": "\u0000"}}', "application/json", 422),
    ("lone surrogate", rb'{"attributes": {"a": "\ud800"}}', "application/json", 400),
    ("deep", b'{"attributes":' + b'{"a":' * 50_000 + b"1" + b"}" * 50_001, "application/json", 400),
    ("unknown field", b'{"workspace": "other"}', "application/json", 422),
    ("a text as consent", b'{"consent": {"survey": "yes"}}', "application/json", 422),
    ("one as consent", b'{"consent": {"survey": 1}}', "application/json", 422),
    ("a bad locale", b'{"locale": "zh_CN"}', "application/json", 422),
    ("a list", b"[]", "application/json", 422),
    ("2 MiB", b" " * 2**21, "application/json", 413),
]


async def test_hostile_bodies_change_nothing(ingest: Ingest) -> None:
    for name, body, kind, status in HOSTILE:
        answer = await ingest.call(
            "PUT", "/v1/customers/mei", content=body, headers={"content-type": kind}
        )
        assert answer.status_code == status, (name, answer.text)
        assert answer.headers["content-type"] == "application/problem+json"
    assert (await ingest.call("GET", "/v1/customers/mei")).status_code == 404


async def test_ids_and_queries_that_cannot_be(ingest: Ingest) -> None:
    for id in ("a%7Fb", "%FF", "x" * 256):
        assert (await ingest.call("PUT", f"/v1/customers/{id}", json={})).status_code == 422
        assert (await ingest.call("GET", f"/v1/customers/{id}")).status_code == 404
        assert (await ingest.call("DELETE", f"/v1/customers/{id}")).status_code == 404
    assert (await ingest.call("PUT", "/v1/customers/a%00b", json={})).status_code == 422
    for query in ("limit=0", "limit=1000000000", "limit=-1", "cursor=x", "cursor=%00"):
        assert (await ingest.call("GET", f"/v1/customers?{query}")).status_code == 422
