"""Pure ASGI middleware: request ids, traces, timing, and bodies that are bounded and clean before a route runs."""

import asyncio
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import structlog
import uuid_utils
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.http.checks import check_address, check_body, check_headers
from shared.http.connections import WHOLE
from shared.http.problems import Problem, unavailable
from shared.instruments import HTTP_SECONDS
from shared.telemetry import log
from shared.tracing import well_formed
from shared.tracing.requests import answered, serving

MAX_BODY_BYTES = 1024 * 1024
_LARGE_BYTES = 128 * 1024
_BODY_SECONDS = 30.0
_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"})
_NONE: Mapping[str, Any] = {}
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_LINK = re.compile(r"^(/s/)(?!preview/)[^/]+")


@dataclass(frozen=True)
class RequestContext:
    """Binds the request's ids to everything logged and announced below, and times the answer."""

    app: ASGIApp
    service: str

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        request_id = request_id_of(headers)
        scope.setdefault("state", {})["request_id"] = request_id
        method = measured_method(scope["method"])
        span = serving(self.service, method, trace_of(headers))
        bound = {"request_id": request_id}
        if span.traceparent is not None:
            bound["traceparent"] = span.traceparent
        started = time.monotonic()
        status = 500

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode())]
            await send(message)

        try:
            with structlog.contextvars.bound_contextvars(**bound):
                await self.app(scope, receive, answer)
        finally:
            route = getattr(scope.get("route"), "path", None)
            seconds = HTTP_SECONDS.labels(self.service, method, route or "other", status)
            seconds.observe(time.monotonic() - started)
            answered(span, method, route, status)


def measured_method(method: str) -> str:
    """The method as a label: clients make up others."""
    return method if method in _METHODS else "other"


def request_id_of(headers: dict[bytes, bytes]) -> str:
    """The id that the client gave this request, or a new one."""
    presented = headers.get(b"x-request-id")
    if presented is not None and _REQUEST_ID.fullmatch(presented):
        return presented.decode("ascii")
    return str(uuid_utils.uuid7())


def shown_path(path: str) -> str:
    """The path as it may stand in a log: without the token of a survey link, which is a key to it."""
    return _LINK.sub(r"\1...", path)


def trace_of(headers: dict[bytes, bytes]) -> str | None:
    """The request's W3C traceparent, None when absent or malformed."""
    value = headers.get(b"traceparent")
    text = None if value is None else value.decode("latin-1")
    return text if text is not None and well_formed(text) else None


@dataclass
class LargeBodies:
    """How many large bodies are held at once; small ones are not counted, so that a flood of large ones refuses no form."""

    most: int = 64
    held: int = 0

    @contextmanager
    def slot(self) -> Iterator[Callable[[], None]]:
        """What to call when a body is large, any number of times: it raises a 503 `Problem` when too many are held."""
        taken = False

        def take() -> None:
            nonlocal taken
            if taken:
                return
            if self.held >= self.most:
                raise unavailable("Too many large bodies are under way; send this again later.")
            self.held += 1
            taken = True

        try:
            yield take
        finally:
            self.held -= taken


@dataclass(frozen=True)
class CleanBody:
    """Reads the whole body within a size and a time, and refuses JSON that a database or a reader would choke on."""

    app: ASGIApp
    max_bytes: int = MAX_BODY_BYTES
    large: LargeBodies = field(default_factory=LargeBodies)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        with self.large.slot() as on_large:
            try:
                body = await self._read(scope, receive, on_large)
            except Problem as problem:
                await _refuse(problem, scope, receive, send)
                return
            await self.app(scope, receive if body is None else _replay(body, receive), send)

    async def _read(
        self, scope: Scope, receive: Receive, on_large: Callable[[], None]
    ) -> bytes | None:
        check_address(scope)
        check_headers(scope)
        if scope["method"] in ("GET", "HEAD", "OPTIONS"):
            return None
        body = await read_body(scope, dict(scope["headers"]), receive, self.max_bytes, on_large)
        check_body(scope, body)
        return body


async def _refuse(problem: Problem, scope: Scope, receive: Receive, send: Send) -> None:
    path = shown_path(scope["path"])
    log.info("request_refused", path=path, status=problem.status, reason=problem.detail)
    await problem.response(scope.get("state", {}).get("request_id"))(scope, receive, send)


def _replay(body: bytes, receive: Receive) -> Receive:
    sent = False

    async def replay() -> Message:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


async def read_body(
    scope: Scope,
    headers: Mapping[bytes, bytes],
    receive: Receive,
    max_bytes: int,
    on_large: Callable[[], None] = lambda: None,
) -> bytes:
    """The body of a request with these headers. Raises a 400, 408, 413 or 415 `Problem`; never holds more than
    `max_bytes`.

    `on_large` is called when more than a form has come of it; what it raises ends the reading.
    """
    if len(headers) < len(scope["headers"]):
        check_headers(scope)
    if b"transfer-encoding" in headers and b"content-length" in headers:
        detail = "Send Content-Length or Transfer-Encoding, not both."
        raise Problem(400, "ambiguous-length", detail)
    if headers.get(b"content-encoding", b"identity") != b"identity":
        detail = "The body must not be compressed: leave Content-Encoding out."
        raise Problem(415, "content-encoding", detail)
    declared = headers.get(b"content-length", b"0")
    if declared.isdigit() and int(declared) > max_bytes:
        raise _too_large(max_bytes)
    if (whole := scope.get("extensions", _NONE).get(WHOLE)) is not None:
        return _bounded(whole["take"](), max_bytes, on_large)
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            return await _gather(receive, max_bytes, on_large)
    except TimeoutError:
        detail = f"The body did not arrive within {_BODY_SECONDS:.0f} s."
        raise Problem(408, "slow-body", detail) from None


def _bounded(body: bytes, max_bytes: int, on_large: Callable[[], None]) -> bytes:
    if len(body) > _LARGE_BYTES:
        if len(body) > max_bytes:
            raise _too_large(max_bytes)
        on_large()
    return body


async def _gather(receive: Receive, max_bytes: int, on_large: Callable[[], None]) -> bytes:
    chunks: list[bytes] = []
    size = 0
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            detail = "The connection closed before the body was complete."
            raise Problem(400, "disconnected", detail)
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        if size > max_bytes:
            raise _too_large(max_bytes)
        if size > _LARGE_BYTES:
            on_large()
        more = message.get("more_body", False)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _too_large(max_bytes: int) -> Problem:
    return Problem(413, "too-large", f"The body is larger than {max_bytes} bytes.")
