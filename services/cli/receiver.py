"""Receives webhooks, verifies each one, and says in a line what it brought."""

import json
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from services.cli.plain import plain
from shared.http.middleware import MAX_BODY_BYTES, read_body
from shared.http.problems import Problem
from shared.webhook import SignatureError, verify

_REMEMBERED = 10_000

Secrets = Callable[[bool], Awaitable[Sequence[str]]]
"""The secrets that may have signed; with True they are asked for again, as endpoints come and go."""


@dataclass(frozen=True)
class Delivery:
    """One attempt as it came in; `refused` says why it is not proven to be genuine, None when it is."""

    id: str
    refused: str | None
    body: Any


class Receiver:
    """An ASGI application that answers 204 to what is verified and 401 to all else, and shows each message once."""

    def __init__(self, secrets: Secrets, show: Callable[[Delivery], None]) -> None:
        self._secrets = secrets
        self._show = show
        self._seen: OrderedDict[tuple[str, bool], None] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        if request.method != "POST":
            refusal = Problem(405, "method-not-allowed", "Webhooks are sent with POST.")
            await refusal.response(None)(scope, receive, send)
            return
        try:
            body = await read_body(scope, dict(scope["headers"]), receive, MAX_BODY_BYTES)
        except Problem as problem:
            await problem.response(None)(scope, receive, send)
            return
        refused = await self._refusal(dict(request.headers), body)
        self._show_once(Delivery(request.headers.get("webhook-id", ""), refused, _decoded(body)))
        await Response(status_code=401 if refused else 204)(scope, receive, send)

    async def _refusal(self, headers: dict[str, str], body: bytes) -> str | None:
        refused = "no secret is known to verify it with"
        for again in (False, True):
            secrets = await self._secrets(again)
            try:
                if secrets:
                    verify(secrets, headers, body, int(time.time()))
                    return None
            except SignatureError as error:
                refused = str(error)
        return refused

    def _show_once(self, delivery: Delivery) -> None:
        key = (delivery.id, delivery.refused is None)
        if key not in self._seen:
            self._show(delivery)
        self._seen[key] = None
        if len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)


def _decoded(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def line(delivery: Delivery, at: str) -> str:
    """What is printed about a delivery: when, what, about whom, the answers, and whether it is genuine."""
    said = "verified" if delivery.refused is None else f"NOT VERIFIED: {delivery.refused}"
    body = delivery.body if isinstance(delivery.body, dict) else {}
    data = _mapping(body, "data")
    rule = _mapping(data, "rule").get("id") or data.get("rule")
    customer = _mapping(data, "customer").get("id")
    parts = [at, plain(body.get("type", "(no type)"))]
    parts += [plain(rule)] if isinstance(rule, str) else []
    parts += [f"customer={plain(customer)}"] if customer else []
    parts += [_answer(answer) for answer in _listed(_mapping(data, "response"), "answers")[:20]]
    return "  ".join([*parts, plain(said)])


def _answer(answer: Any) -> str:
    if not isinstance(answer, dict):
        return plain(answer)
    value = json.dumps(answer.get("value"), ensure_ascii=False)
    return f"{plain(answer.get('question'), limit=60)}={plain(value)}"


def _mapping(value: dict[str, Any], name: str) -> dict[str, Any]:
    found = value.get(name)
    return found if isinstance(found, dict) else {}


def _listed(value: dict[str, Any], name: str) -> list[Any]:
    found = value.get(name)
    return found if isinstance(found, list) else []
