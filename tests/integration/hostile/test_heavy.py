"""Requests made to cost much: refused or answered, while another client's request waits for at most a moment."""

import asyncio
import gc
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from shared.http.middleware import MAX_BODY_BYTES
from tests.integration.hostile.house import EVENT, JSON, QUESTION, House, on_one_database, visitor

pytestmark = [pytest.mark.asyncio(loop_scope="session"), on_one_database]

MOMENT_SECONDS = 2.0
FULL = MAX_BODY_BYTES - 1_000


def filled_up(item: Any) -> bytes:
    """As many of it as a body may have."""
    one = json.dumps(item).encode()
    return b"[" + b",".join([one] * (FULL // (len(one) + 1))) + b"]"


WRONG_EVENT = EVENT | {"id": "", "source": "", "A": 1, "B": 1, "time": "x"}
HEAVY: dict[str, tuple[str, str, str, bytes]] = {
    "a million brackets": ("PUT", "/v1/units/a", JSON, b"[" * FULL),
    "a million of quotes": (
        "PUT",
        "/v1/units/a",
        JSON,
        b'{"a":"' + rb"\"" * (FULL // 2 - 8) + b'"}',
    ),
    "a number of a million digits": (
        "PUT",
        "/v1/units/a",
        JSON,
        b'{"a":' + b"9" * (FULL - 8) + b"}",
    ),
    "a digit less than infinite, often": (
        "POST",
        "/v1/responses",
        JSON,
        b'{"data":{"a":[' + b"1e308," * (FULL // 6 - 8) + b"1]}}",
    ),
    "an event of such numbers": (
        "POST",
        "/v1/events",
        "application/cloudevents+json",
        json.dumps(EVENT | {"data": {"a": "HERE"}})
        .encode()
        .replace(b'"HERE"', b"[" + b"1e308," * 40_000 + b"1]"),
    ),
    "a batch of such numbers": (
        "POST",
        "/v1/events",
        JSON,
        b"["
        + b",".join(
            [
                json.dumps(EVENT | {"data": {"a": "HERE"}})
                .encode()
                .replace(b'"HERE"', b"[" + b"1e308," * 130 + b"1]")
            ]
            * 1_000
        )
        + b"]",
    ),
    "a hundred thousand unknown fields": (
        "PUT",
        "/v1/units/a",
        JSON,
        json.dumps({f"f{n}": 0 for n in range(80_000)}).encode()[:FULL],
    ),
    "a thousand wrong events": (
        "POST",
        "/v1/events",
        "application/cloudevents-batch+json",
        json.dumps([WRONG_EVENT] * 1_000).encode(),
    ),
    "100,000 events": ("POST", "/v1/events", JSON, b"[" + b"{}," * 99_999 + b"{}]"),
    "a batch of a million brackets": ("POST", "/v1/events", JSON, b"[" + b"[" * (FULL - 8)),
    "2,000 wrong documents": (
        "POST",
        "/v1/apply/ingest",
        JSON,
        json.dumps(
            {"documents": [{"kind": "survey", "id": "?", "questions": [{}] * 20}] * 2_000}
        ).encode(),
    ),
    "as many questions as fit": (
        "PUT",
        "/v1/surveys/a",
        JSON,
        b'{"title":{"en":"a","zh":"a"},"questions":'
        + filled_up(QUESTION)[:-20_000].rpartition(b",")[0]
        + b"]}",
    ),
    "conditions in conditions": (
        "PUT",
        "/v1/triggers/a",
        JSON,
        b'{"on":"a","survey":"a","channel":"link","when":'
        + b'{"all":[' * 900
        + b'{"path":"data.a","gt":1}'
        + b"]}" * 900
        + b"}",
    ),
    "a condition of any width": (
        "PUT",
        "/v1/triggers/a",
        JSON,
        b'{"on":"a","survey":"a","channel":"link","when":{"any":'
        + filled_up({"path": "data.a", "matches": "(a|b|ab)*c"})[:-20_000].rpartition(b",")[0]
        + b"]}}",
    ),
    "as many customers as fit": (
        "POST",
        "/v1/customers",
        JSON,
        b'{"customers":'
        + filled_up({"id": "a", "attributes": {"a": [[[]]]}})[:-2_000].rpartition(b",")[0]
        + b"]}",
    ),
    "a form of a thousand fields": (
        "POST",
        "/s/TOKEN",
        "application/x-www-form-urlencoded",
        b"&".join([b"comment=%E4%BD%A0"] * 999),
    ),
    "a form of a million percents": (
        "POST",
        "/s/TOKEN",
        "application/x-www-form-urlencoded",
        b"comment=" + b"%41" * (FULL // 3 - 8),
    ),
    "a form of a million ampersands": (
        "POST",
        "/s/TOKEN",
        "application/x-www-form-urlencoded",
        b"&" * FULL,
    ),
}


@pytest.fixture(autouse=True)
def collecting_seldom() -> Iterator[None]:
    """Garbage is collected as seldom as in a service; by default it would take more of the time than what is timed."""
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(100_000, 20, 20)
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


async def longest_wait(done: asyncio.Event) -> float:
    """The longest that the event loop kept somebody waiting who wanted nothing but a turn."""
    longest = 0.0
    while not done.is_set():
        started = time.monotonic()
        await asyncio.sleep(0.005)
        longest = max(longest, time.monotonic() - started)
    return longest


@pytest.mark.parametrize("name", HEAVY)
async def test_a_heavy_request_holds_up_nobody_else(house: House, name: str) -> None:
    method, path, kind, body = HEAVY[name]
    assert len(body) <= MAX_BODY_BYTES
    done = asyncio.Event()
    async with house.unchanged(), visitor(house) as neighbour:
        waiting = asyncio.create_task(longest_wait(done))
        await asyncio.sleep(0)
        heavy = asyncio.create_task(
            house.client.request(
                method,
                path.replace("TOKEN", house.token("i-heavy")),
                content=body,
                headers={"content-type": kind},
            )
        )
        await asyncio.sleep(0)
        started = time.monotonic()
        assert (await neighbour.get("/health/live")).status_code == 200
        neighbours = time.monotonic() - started
        answer = await heavy
        done.set()
        assert 400 <= answer.status_code < 500, answer.text[:500]
        assert len(answer.content) < MAX_BODY_BYTES
    assert max(neighbours, await waiting) < MOMENT_SECONDS


HEADERS = {
    "accept-language": ",".join(["zh;q=0.1"] * 5_000),
    "traceparent": "0" * 40_000,
    "x-request-id": "a" * 40_000,
    "cookie": "a=b;" * 10_000,
    "authorization": "Bearer " + "awk_" * 10_000,
}


@pytest.mark.parametrize("name", HEADERS)
async def test_a_heavy_header_costs_little(house: House, name: str) -> None:
    async with visitor(house) as browser:
        started = time.monotonic()
        for path in (f"/s/{house.token('i-1')}", "/v1/customers", "/v1/scores?" + "by=a&" * 5_000):
            answer = await browser.get(path, headers={name: HEADERS[name]})
            assert answer.status_code in (200, 401), answer.text[:200]
            assert len(answer.headers["x-request-id"]) <= 64
        assert time.monotonic() - started < MOMENT_SECONDS
