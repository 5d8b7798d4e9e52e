"""Pure ASGI middleware: request ids, traces, timing, and bodies that are bounded and clean before a route runs."""

import asyncio
import re
import time
from dataclasses import dataclass

import msgspec
import structlog
import uuid_utils
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.http.numbers import MOST, too_many_huge
from shared.http.problems import Problem
from shared.telemetry import HTTP_SECONDS, log

MAX_BODY_BYTES = 1024 * 1024
_BODY_SECONDS = 30.0
_REQUEST_ID = re.compile(r"^[A-Za-z0-9._-]{1,64}$")
_TRACEPARENT = re.compile(r"^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$")
_ONCE = frozenset({b"authorization", b"content-encoding", b"content-type", b"host"})
_FORMS = frozenset({"application/x-www-form-urlencoded", "multipart/form-data"})
_PAGES = "/s/"
_LINK = re.compile(r"^(/s/)(?!preview/)[^/]+")
_NUL = re.compile(rb"\\u0000|\x00")
_check_json = msgspec.json.Decoder().decode


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
        bound = {"request_id": request_id}
        if traceparent := trace_of(headers):
            bound["traceparent"] = traceparent
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
            route = getattr(scope.get("route"), "path", "other")
            HTTP_SECONDS.labels(self.service, route, status).observe(time.monotonic() - started)


def request_id_of(headers: dict[bytes, bytes]) -> str:
    """The id that the client gave this request, or a new one."""
    presented = headers.get(b"x-request-id", b"").decode("latin-1")
    return presented if _REQUEST_ID.match(presented) else str(uuid_utils.uuid7())


def shown_path(path: str) -> str:
    """The path as it may stand in a log: without the token of a survey link, which is a key to it."""
    return _LINK.sub(r"\1...", path)


def trace_of(headers: dict[bytes, bytes]) -> str | None:
    """The request's W3C traceparent, None when absent or malformed."""
    value = headers.get(b"traceparent", b"").decode("latin-1")
    return value if _TRACEPARENT.match(value) else None


@dataclass(frozen=True)
class CleanBody:
    """Reads the whole body within a size and a time, and refuses JSON that a database or a reader would choke on."""

    app: ASGIApp
    max_bytes: int = MAX_BODY_BYTES

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        bodiless = scope["method"] in ("GET", "HEAD", "OPTIONS")
        try:
            check_address(scope)
            check_headers(scope)
            body = b"" if bodiless else await read_body(scope, receive, self.max_bytes)
            check_body(scope, body)
        except Problem as problem:
            log.info(
                "request_refused",
                path=shown_path(scope["path"]),
                status=problem.status,
                reason=problem.detail,
            )
            await problem.response(scope.get("state", {}).get("request_id"))(scope, receive, send)
            return
        if bodiless:
            await self.app(scope, receive, send)
            return
        sent = False

        async def replay() -> Message:
            nonlocal sent
            if sent:
                return await receive()
            sent = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self.app(scope, replay, send)


async def read_body(scope: Scope, receive: Receive, max_bytes: int) -> bytes:
    """The request's body. Raises a 400, 408, 413 or 415 `Problem`; never holds more than `max_bytes`."""
    headers = dict(scope["headers"])
    if b"transfer-encoding" in headers and b"content-length" in headers:
        detail = "Send Content-Length or Transfer-Encoding, not both."
        raise Problem(400, "ambiguous-length", detail)
    if headers.get(b"content-encoding", b"identity") != b"identity":
        detail = "The body must not be compressed: leave Content-Encoding out."
        raise Problem(415, "content-encoding", detail)
    declared = headers.get(b"content-length", b"0")
    if declared.isdigit() and int(declared) > max_bytes:
        raise _too_large(max_bytes)
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            return await _gather(receive, max_bytes)
    except TimeoutError:
        detail = f"The body did not arrive within {_BODY_SECONDS:.0f} s."
        raise Problem(408, "slow-body", detail) from None


async def _gather(receive: Receive, max_bytes: int) -> bytes:
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
        more = message.get("more_body", False)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _too_large(max_bytes: int) -> Problem:
    return Problem(413, "too-large", f"The body is larger than {max_bytes} bytes.")


def check_address(scope: Scope) -> None:
    """Raise a 422 `Problem` for a NUL in the path or the query, which no text column can be compared with."""
    if "\x00" in scope["path"] or b"%00" in scope["query_string"]:
        raise Problem(422, "nul-character", "The address contains the NUL character (%00).")


def check_headers(scope: Scope) -> None:
    """Raise a 400 `Problem` for a header that may come once and came twice: each reader would believe another one."""
    found = [name for name, _ in scope["headers"] if name in _ONCE]
    if len(found) > len(set(found)):
        twice = next(name for name in found if found.count(name) > 1)
        raise Problem(400, "repeated-header", f"Send the header {twice.decode()} only once.")
    if b"host" not in found and scope["http_version"] == "1.1":
        raise Problem(400, "no-host", "A request of HTTP/1.1 names its Host.")


def check_body(scope: Scope, body: bytes) -> None:
    """Let only clean JSON through, and forms to pages: UTF-8, no NaN, no NUL, no lone surrogate, bounded depth."""
    if not body:
        return
    declared = dict(scope["headers"]).get(b"content-type", b"").decode("latin-1")
    media = declared.partition(";")[0].strip().lower()
    if media in _FORMS and scope["path"].startswith(_PAGES):
        return
    if media != "application/json" and not media.endswith("+json"):
        raise Problem(
            415,
            "content-type",
            f"The body must be application/json, not {media[:100] or 'undeclared'}.",
        )
    check_json(body)


def check_json(body: bytes) -> None:
    """Raise a 400 `Problem` for what is not JSON, a 422 one for the NUL character, which no text column can hold,
    and for what would take long to decode."""
    if too_many_huge(body):
        detail = f"The body has more than {MOST} numbers beyond 1e200 or below 1e-199."
        raise Problem(422, "huge-numbers", detail)
    try:
        _check_json(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Problem(400, "not-json", f"The body is not JSON: {error}") from None
    if _NUL.search(body):
        raise Problem(
            422,
            "nul-character",
            "The body contains the NUL character (\\u0000), which cannot be stored.",
        )
