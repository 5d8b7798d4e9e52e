"""Hostile bodies at every route that takes one: refused with a problem, and nothing is written."""

import json

import pytest

from shared.http.middleware import MAX_BODY_BYTES
from tests.integration.hostile.house import (
    EVENT,
    JSON,
    House,
    assert_problem,
    filled,
    on_one_database,
    visitor,
)

pytestmark = [pytest.mark.asyncio(loop_scope="session"), on_one_database]

DEEP = 100_000
ROWS: dict[str, tuple[bytes, dict[str, str], int]] = {
    "no JSON": (b"{", {}, 400),
    "two documents": (b"{}{}", {}, 400),
    "lists in lists": (b"[" * DEEP, {}, 400),
    "lists in lists, closed": (b"[" * DEEP + b"]" * DEEP, {}, 400),
    "objects in objects": (b'{"a":' * 40_000 + b"1" + b"}" * 40_000, {}, 400),
    "a number of 5,000 digits": (b'{"a": ' + b"9" * 5_000 + b"}", {}, 400),
    "a number beyond floats": (b'{"a": 1e999}', {}, 400),
    "NaN": (b'{"a": NaN}', {}, 400),
    "Infinity": (b'{"a": Infinity}', {}, 400),
    "minus Infinity": (b'{"a": -Infinity}', {}, 400),
    "a lone surrogate": (rb'{"a": "\ud800"}', {}, 400),
    "a lone surrogate as a name": (rb'{"\udfff": 1}', {}, 400),
    "a surrogate in UTF-8": (b'{"a": "\xed\xa0\x80"}', {}, 400),
    "NUL": (rb'{"a": "\u0000"}', {}, 422),
    "NUL as a name": (rb'{"a\u0000": 1}', {}, 422),
    "a bare NUL": (b'{"a": "\x00"}', {}, 400),
    "a bare newline": (b'{"a": "\n"}', {}, 400),
    "invalid UTF-8": (b'{"a": "\xff"}', {}, 400),
    "overlong UTF-8": (b'{"a": "\xc0\x80"}', {}, 400),
    "UTF-16": ('{"a": 1}'.encode("utf-16"), {}, 400),
    "UTF-16 that says so": (
        '{"a": 1}'.encode("utf-16-le"),
        {"content-type": f"{JSON}; charset=utf-16le"},
        0,
    ),
    "a byte order mark": (b'\xef\xbb\xbf{"a": 1}', {}, 400),
    "text": (b"{}", {"content-type": "text/plain"}, 415),
    "no type": (b"{}", {"content-type": ""}, 415),
    "a form": (b"a=1", {"content-type": "application/x-www-form-urlencoded"}, 415),
    "files": (b"--x--", {"content-type": "multipart/form-data; boundary=x"}, 415),
    "xml": (b"<a/>", {"content-type": "application/xml"}, 415),
    "gzip": (b"\x1f\x8b\x08", {"content-encoding": "gzip"}, 415),
    "deflate": (b"{}", {"content-encoding": "deflate"}, 415),
    "both lengths": (b"{}", {"transfer-encoding": "chunked"}, 400),
    "over 1 MiB": (b'"' + b"x" * MAX_BODY_BYTES + b'"', {}, 413),
    "a text instead of an object": (b'"x"', {}, 422),
    "a number instead of an object": (b"1", {}, 422),
    "null instead of an object": (b"null", {}, 422),
    "another's workspace": (b'{"workspace": "other"}', {}, 422),
    "another's tenant": (b'{"tenant_id": "other"}', {}, 422),
    "a state of ours": (b'{"status": "sent", "revision": 9}', {}, 422),
    "a prototype": (b'{"__proto__": {"a": 1}, "constructor": 1}', {}, 422),
}


@pytest.mark.parametrize("row", ROWS)
async def test_a_hostile_body_at_every_route(house: House, row: str) -> None:
    body, extra, status = ROWS[row]
    routes = [route for route in house.routes() if route.takes_json]
    assert len(routes) >= 15
    async with house.unchanged():
        for route in routes:
            answer = await house.client.request(
                route.method,
                filled(route.path),
                content=body,
                headers={"content-type": JSON} | extra,
            )
            assert_problem(answer, status or (415 if "events" in route.path else 400))


@pytest.mark.parametrize(
    ("name", "second"),
    [
        ("content-type", "application/cloudevents-batch+json"),
        ("authorization", "Bearer OTHER"),
        ("content-encoding", "identity"),
    ],
)
async def test_an_event_of_two_minds_is_refused(house: House, name: str, second: str) -> None:
    """Two keys are two workspaces, and whoever stands in front may have looked at the other one."""
    headers = {
        "authorization": f"Bearer {house.keys['acme']}",
        "content-type": "application/cloudevents+json",
    }
    if name == "content-encoding":
        headers[name] = "gzip"
    again = (name, second.replace("OTHER", house.keys["other"]))
    async with house.unchanged(), visitor(house) as stranger:
        answer = await stranger.post(
            "/v1/events", content=json.dumps(EVENT), headers=[*headers.items(), again]
        )
        assert_problem(answer, 400)


@pytest.mark.parametrize(
    "second", ["application/x-www-form-urlencoded", "multipart/form-data", JSON]
)
@pytest.mark.parametrize("text", [r"\u0000", r"\ud800"])
async def test_a_body_of_two_types_is_of_none(house: House, second: str, text: str) -> None:
    async with house.unchanged():
        for order in ((JSON, second), (second, JSON)):
            answer = await house.client.put(
                "/v1/customers/c-1",
                content=b'{"attributes": {"a": "%s"}}' % text.encode(),
                headers=[("content-type", each) for each in order],
            )
            assert_problem(answer, 400)
