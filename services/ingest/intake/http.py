"""POST /v1/events, in front of the application: the hot path, which needs the log and nothing else."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final
from urllib.parse import parse_qs

import msgspec
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as AsgiScope

from services.ingest.instruments import EVENTS_ACCEPTED, EVENTS_REFUSED
from services.ingest.rules.requests import Intake, accepted_json, read_request
from shared import crash
from shared.auth import Access, Principal, Scope, authorised
from shared.contracts.envelope import TRACEPARENT
from shared.contracts.keys import Key
from shared.contracts.topics import Topic
from shared.errors import Refused, Unavailable
from shared.http.middleware import (
    MAX_BODY_BYTES,
    measured_method,
    read_body,
    request_id_of,
    trace_of,
)
from shared.http.parameters import refuse_unknown
from shared.http.problems import FieldError, Problem, invalid, unavailable
from shared.instruments import HTTP_SECONDS
from shared.log import Outgoing, Producer
from shared.telemetry import log
from shared.tracing.messages import sending
from shared.tracing.requests import answered, serving

PATH: Final = "/v1/events"
_DOOR: Final = "http"
_REQUEST_BYTES: Final = 4 * 1024
"""What a request costs beside its body; without it many empty ones would count for nothing."""

_accepted = EVENTS_ACCEPTED.labels(_DOOR)
_refused = EVENTS_REFUSED.labels(_DOOR)
_seconds = {
    status: HTTP_SECONDS.labels("ingest", "POST", PATH, status) for status in (202, 422, 500, 503)
}
_NOTHING: Final[Mapping[str, str]] = {}
_encode = msgspec.json.Encoder().encode


@dataclass
class EventsDoor:
    """Answers POST /v1/events itself and passes everything else on. The database is never asked."""

    app: ASGIApp
    access: Access
    producer: Producer
    in_flight_bytes: int
    _in_flight: int = field(default=0, init=False)

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != PATH:
            await self.app(scope, receive, send)
            return
        started = time.monotonic()
        headers = dict(scope["headers"])
        request_id = request_id_of(headers)
        method = measured_method(scope["method"])
        span = serving("ingest", method, trace_of(headers))
        try:
            answer = await self._answer(scope, headers, receive, span.traceparent)
            status, kind, extra = 202, b"application/json", _NOTHING
            body = _encode(answer)
        except Problem as problem:
            log.info(
                "events_refused",
                request_id=request_id,
                status=problem.status,
                reason=problem.detail,
            )
            status, kind, extra = problem.status, b"application/problem+json", problem.headers()
            body = _encode(problem.body(request_id))
        except Exception as error:  # noqa: BLE001 - logged whole and answered 500, as the application does
            log.error("request_failed", path=PATH, request_id=request_id, exc_info=error)
            status, kind, extra = 500, b"application/problem+json", _NOTHING
            body = _encode(
                Problem(500, "internal", "The request failed; its id is in the log.").body(
                    request_id
                )
            )
        seconds = _seconds.get(status) or HTTP_SECONDS.labels("ingest", method, PATH, status)
        seconds.observe(time.monotonic() - started)
        answered(span, method, PATH, status)
        await _respond(send, status, kind, extra, request_id, body)

    async def _answer(
        self,
        scope: AsgiScope,
        headers: dict[bytes, bytes],
        receive: Receive,
        traceparent: str | None,
    ) -> dict[str, Any]:
        if scope["method"] != "POST":
            raise Problem(405, "method-not-allowed", f"{PATH} takes POST only.")
        authorization = headers.get(b"authorization", b"").decode("latin-1")
        principal = authorised(self.access, authorization, Scope.EVENTS_WRITE)
        report = bool(scope["query_string"]) and _wants_report(scope["query_string"])
        size = _expected(headers)
        if self._in_flight + size > self.in_flight_bytes:
            raise unavailable(
                "Too many events wait for the log's acknowledgement; send this again later."
            )
        self._in_flight += size
        try:
            body = await read_body(scope, headers, receive, MAX_BODY_BYTES)
            intake = read_request(headers, body, datetime.now(UTC))
            if intake.bad:
                _refused.inc(len(intake.bad))
                if not (report and intake.good):
                    raise intake.problem()
            await self._append(principal, intake, traceparent, brought=b"traceparent" in headers)
        finally:
            self._in_flight -= size
        return accepted_json(intake)

    async def _append(
        self, principal: Principal, intake: Intake, traceparent: str | None, *, brought: bool
    ) -> None:
        """Append the events. The request's trace goes along, before that in an event itself if it was brought by the
        client, and never in its place if it began here."""
        span = sending("ingest", Topic.EVENTS, traceparent, len(intake.good))
        headers = ((TRACEPARENT, span.traceparent.encode()),) if span.traceparent else ()
        over = headers if brought else ()
        key = _beginning(principal.workspace)
        records = [
            Outgoing(
                Topic.EVENTS,
                key + event.subject.encode(),
                event.value,
                headers if event.traceparent is None else over,
            )
            for event in intake.good
        ]
        try:
            with span:
                await self.producer.send(records)
        except Unavailable as error:
            log.warning("events_not_acknowledged", workspace=principal.workspace, reason=str(error))
            raise unavailable(
                "The log did not acknowledge in time. Send the same again: an event counts once by source and id."
            ) from error
        except Refused as error:
            raise invalid(
                [FieldError(f"[{error.index}]", "is refused by the log", "a smaller event")]
            ) from error
        crash.point(crash.Point.INTAKE_AFTER_APPEND)
        _accepted.inc(len(records))


@lru_cache(maxsize=1_000)
def _beginning(workspace: str) -> bytes:
    """What the keys of all its events begin with."""
    return Key(workspace, "").encode()


def _expected(headers: Mapping[bytes, bytes]) -> int:
    """What the request will hold in memory: its declared size, the largest where it declares none."""
    declared = headers.get(b"content-length", b"")
    size = int(declared) if declared.isdigit() and len(declared) < 10 else MAX_BODY_BYTES
    return min(size, MAX_BODY_BYTES) + _REQUEST_BYTES


def _wants_report(query: bytes) -> bool:
    try:
        given = parse_qs(query.decode("latin-1"), keep_blank_values=True, max_num_fields=20)
    except ValueError:
        raise invalid(
            [FieldError("query", "has too many parameters", "invalid, or none")]
        ) from None
    refuse_unknown(given, ("invalid",))
    values = given.get("invalid", [])
    if values not in ([], ["report"]):
        raise invalid([FieldError("invalid", f"is {values[-1][:60]!r}", "report, or left out")])
    return bool(values)


async def _respond(
    send: Send, status: int, kind: bytes, extra: Mapping[str, str], request_id: str, body: bytes
) -> None:
    headers = [
        (b"content-type", kind),
        (b"content-length", b"%d" % len(body)),
        (b"x-request-id", request_id.encode()),
    ]
    if extra:
        headers += [(name.encode(), value.encode()) for name, value in extra.items()]
    if status == 405:
        headers.append((b"allow", b"POST"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
