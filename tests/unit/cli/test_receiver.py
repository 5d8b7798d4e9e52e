"""The receiver behind `listen`: it answers 204 to what is proven and 401 to all else, and shows each once."""

import json
import time
from collections.abc import Sequence
from typing import Any

import httpx

from services.cli.receiver import Delivery, Receiver, line
from shared.webhook import new_secret, sign

BODY = json.dumps(
    {
        "type": "alert.raised",
        "data": {
            "rule": {"id": "unhappy"},
            "customer": {"id": "c-1"},
            "response": {"answers": [{"question": "recommend", "value": 3}]},
        },
    }
).encode()


class Listening:
    """A receiver with the secrets it knows at first and those that asking again would bring."""

    def __init__(self, known: Sequence[str], later: Sequence[str] = ()) -> None:
        self.shown: list[Delivery] = []
        self._known = list(known)
        self._later = list(later)
        transport = httpx.ASGITransport(app=Receiver(self._secrets, self.shown.append))
        self.client = httpx.AsyncClient(transport=transport, base_url="http://receiver")

    async def _secrets(self, again: bool) -> Sequence[str]:
        if again:
            self._known += self._later
        return self._known

    async def post(
        self, secret: str, *, body: bytes = BODY, at: float = 0.0, id: str = "a-1"
    ) -> int:
        headers = sign([secret], id, int(time.time() + at), body)
        return (await self.client.post("/hook", content=body, headers=headers)).status_code


async def test_a_genuine_delivery_is_taken_and_shown_once() -> None:
    secret = new_secret()
    listening = Listening([secret])
    assert [await listening.post(secret) for _ in range(3)] == [204, 204, 204]
    assert [(shown.id, shown.refused) for shown in listening.shown] == [("a-1", None)]


async def test_another_secret_an_old_message_and_a_changed_body_are_refused() -> None:
    secret = new_secret()
    listening = Listening([secret])
    assert await listening.post(new_secret(), id="forged") == 401
    assert await listening.post(secret, at=-3_600, id="old") == 401
    headers = sign([secret], "changed", int(time.time()), BODY)
    answer = await listening.client.post("/", content=BODY + b" ", headers=headers)
    assert answer.status_code == 401
    assert [shown.id for shown in listening.shown if shown.refused] == ["forged", "old", "changed"]


async def test_what_is_refused_first_and_genuine_later_is_shown_both_times() -> None:
    secret = new_secret()
    listening = Listening([secret])
    await listening.post(new_secret())
    await listening.post(secret)
    assert [shown.refused is None for shown in listening.shown] == [False, True]


async def test_the_secret_of_an_endpoint_made_meanwhile_is_asked_for() -> None:
    secret = new_secret()
    assert await Listening([], later=[secret]).post(secret) == 204
    assert await Listening([new_secret()], later=[secret]).post(secret) == 204
    assert await Listening([]).post(secret) == 401


async def test_unsigned_oversized_and_strange_requests_change_nothing() -> None:
    listening = Listening([new_secret()])
    assert (await listening.client.post("/", content=b"\xff{{{")).status_code == 401
    assert (await listening.client.get("/")).status_code == 405
    assert (await listening.client.post("/", content=b"x" * 1_100_000)).status_code == 413


def test_the_line_says_what_about_whom_and_that_it_is_genuine() -> None:
    told = line(Delivery("a-1", None, json.loads(BODY)), "12:00:00")
    assert told == "12:00:00  alert.raised  unhappy  customer=c-1  recommend=3  verified"


def test_a_line_survives_any_body_and_keeps_the_terminal_whole() -> None:
    bodies: list[Any] = [
        None,
        [],
        "x",
        {"data": []},
        {"type": {}, "data": {"response": {"answers": {}}}},
    ]
    evil = {
        "type": "\x1b[2J",
        "data": {"customer": {"id": "a\nb\r"}, "response": {"answers": [7, {}]}},
    }
    for body in [*bodies, evil]:
        told = line(Delivery("a", "no signature", body), "12:00:00")
        assert told.isprintable()
        assert told.endswith("NOT VERIFIED: no signature")
