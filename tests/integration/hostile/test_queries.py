"""Hostile queries at every route that takes one: refused by name, or answered, and never a 5xx."""

import base64
import json

import pytest

from shared.http.pages import encode_cursor
from tests.integration.hostile.house import House, Route, assert_problem, filled

pytestmark = pytest.mark.asyncio(loop_scope="session")


def with_parameter(house: House, name: str) -> list[Route]:
    found = [route for route in house.routes() if route.method == "GET" and name in route.query]
    assert found
    return found


@pytest.mark.parametrize(
    "limit", ["1000000000", "501", "0", "-1", "9" * 5_000, "1e3", "NaN", "x", "", "１０", "1;DROP"]
)
async def test_a_page_is_neither_endless_nor_negative(house: House, limit: str) -> None:
    routes = with_parameter(house, "limit")
    assert len(routes) >= 15
    for route in routes:
        answer = await house.client.get(filled(route.path), params={"limit": limit})
        assert_problem(answer, 422, "limit")


def tampered() -> dict[str, str]:
    return {
        "no base64": "%%",
        "no JSON": "AAAA",
        "an object": base64.urlsafe_b64encode(b'{"a": 1}').decode(),
        "nothing": encode_cursor(),
        "null": encode_cursor(None),
        "many": encode_cursor(*range(50)),
        "a NUL": encode_cursor("a\x00"),
        "a list": encode_cursor(["a"]),
        "deep": base64.urlsafe_b64encode(b"[" * 700).decode(),
        "too long": "A" * 1_001,
        "text of a number": encode_cursor("1", "2", "3"),
        "a float": encode_cursor(1.5),
        "the year 1": encode_cursor("0001-01-01T00:00:00+14:00", "a"),
        "bytes": base64.urlsafe_b64encode(b'["\xff"]').decode(),
    }


@pytest.mark.parametrize("name", tampered())
async def test_a_cursor_that_is_not_ours_is_refused(house: House, name: str) -> None:
    for route in with_parameter(house, "cursor"):
        answer = await house.client.get(filled(route.path), params={"cursor": tampered()[name]})
        assert_problem(answer, 422, "cursor")


@pytest.mark.parametrize(
    "text", ["~" * 300, "\U0010ffff", "'; DROP TABLE customers; --", "x", "\ud7ff" * 80, "\x1b[2J"]
)
async def test_a_cursor_to_elsewhere_shows_no_more_than_the_own_list(
    house: House, text: str
) -> None:
    """A cursor is a place, not a permission: the workspace is the key's, whatever the cursor says."""
    for route in with_parameter(house, "cursor"):
        answer = await house.client.get(
            filled(route.path),
            params={"cursor": encode_cursor(text)},
            headers={"authorization": f"Bearer {house.keys['other']}"},
        )
        if answer.status_code == 200:
            assert answer.json()["items"] == []
        else:
            assert answer.status_code in (404, 422), answer.text


async def test_every_flipped_bit_of_a_real_cursor_is_refused_or_a_place(house: House) -> None:
    page = await house.client.get("/v1/surveys", params={"limit": 1})
    assert page.status_code == 200
    cursor = bytearray(encode_cursor(page.json()["items"][0]["id"]).encode())
    for index in range(len(cursor)):
        for bit in range(7):
            changed = bytearray(cursor)
            changed[index] ^= 1 << bit
            answer = await house.client.get(
                "/v1/surveys", params={"cursor": changed.decode("latin-1")}
            )
            assert answer.status_code in (200, 422), answer.text


RANGES = [
    ("0001-01-01", "9999-12-31"),
    ("-9999-01-01", "2026-01-01"),
    ("2026-01-01", "12026-01-01"),
    ("2026-02-30", "2026-03-01"),
    ("2026-01-01", "2025-01-01"),
    ("0", "99999999999999999999"),
    ("1e9", "NaN"),
    ("２０２６-01-01", "2026-01-02"),
    ("9" * 5_000, "2026-01-01"),
    ("now", "tomorrow"),
    ("9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00"),
]


@pytest.mark.parametrize(("start", "end"), RANGES)
async def test_a_range_of_ages_is_refused_or_answered(house: House, start: str, end: str) -> None:
    for route in with_parameter(house, "from"):
        wanted = {"metric": "purchase-nps.recommend"} if "metric" in route.query else {}
        answer = await house.client.get(
            filled(route.path), params={"from": start, "to": end} | wanted
        )
        if answer.status_code != 200:
            assert_problem(answer, 422)
    scores = {"metric": "purchase-nps.recommend", "from": start, "to": end}
    assert_problem(await house.client.get("/v1/scores", params=scores), 422)


SCORES: list[tuple[str, dict[str, str | list[str]]]] = [
    ("by", {"by": "password"}),
    ("by", {"by": [f"d{n}" for n in range(1_000)]}),
    ("by[0]", {"by": "org@99"}),
    ("by[0]", {"by": "org'; DROP TABLE facts"}),
    ("where[0]", {"where": "no filter"}),
    ("where", {"where": ["org:x"] * 1_000}),
    ("where[0]", {"where": f"org:{'x' * 5_000}"}),
    ("where", {"where": "nothing:x"}),
    ("kind", {"kind": "all"}),
    ("metric", {"metric": "x" * 1_000}),
    ("sort", {"sort": "(SELECT 1)"}),
    ("workspace", {"workspace": "other"}),
]


@pytest.mark.parametrize(("at", "query"), SCORES, ids=[json.dumps(row[1])[:40] for row in SCORES])
async def test_a_question_about_what_is_not_there_is_named(
    house: House, at: str, query: dict[str, str | list[str]]
) -> None:
    answer = await house.client.get(
        "/v1/scores", params={"metric": "purchase-nps.recommend", **query}
    )
    assert_problem(answer, 422, at)


@pytest.mark.parametrize("wait", ["1000h", "-1s", "99999999999s", "1", "x", "NaNs"])
async def test_nobody_waits_for_ever(house: House, wait: str) -> None:
    for route in with_parameter(house, "wait"):
        answer = await house.client.get(filled(route.path), params={"wait": wait})
        assert_problem(answer, 422, "wait")


@pytest.mark.parametrize(
    "value", ["%00", "\x1b[2J\n", "x" * 3_000, "' OR 1=1 --", "\U0001f600", "‮", "%ED%A0%80"]
)
async def test_any_text_in_any_filter_is_answered(house: House, value: str) -> None:
    for route in house.routes():
        if route.method != "GET":
            continue
        for name in route.query:
            raw = f"{filled(route.path)}?{name}=".encode() + (
                value.encode() if value.startswith("%") else quoted(value)
            )
            answer = await house.client.get(house.client.base_url.copy_with(raw_path=raw))
            assert answer.status_code < 500, f"{route} {name}: {answer.text}"
            assert answer.status_code in (200, 400, 404, 422)


def quoted(text: str) -> bytes:
    return "".join(f"%{byte:02X}" for byte in text.encode()).encode()


async def test_a_parameter_that_a_route_does_not_have_is_refused_by_name(house: House) -> None:
    """A misspelt filter would be a longer list, or a changed row, that nobody asked for."""
    for route in house.routes():
        async with house.unchanged():
            answer = await house.client.request(
                route.method, filled(route.path), params={"limits": "1", "limit": "1"}
            )
        assert_problem(answer, 422, "limits")


async def test_a_thousand_parameters_are_refused(house: House) -> None:
    for route in house.routes():
        query = "&".join(f"p{number}=1" for number in range(1_000))
        answer = await house.client.request(route.method, f"{filled(route.path)}?{query}")
        assert_problem(answer, 422)
