"""Spans of requests that are answered, and of webhooks that are sent."""

from contextlib import suppress
from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit

from shared.contracts.envelope import TRACEPARENT
from shared.tracing import Attributes, Span, recording, start, unrecorded, well_formed
from shared.webhook import Reply

_PROBES: Final = frozenset({"/health/live", "/health/ready"})
"""Asked every few seconds by the orchestrator, and never about anything."""


def serving(service: str, method: str, parent: str | None) -> Span:
    """Begin to answer a request. `answered` ends it."""
    if not recording():
        return unrecorded(parent)
    known = "_OTHER" if method == "other" else method
    return start(service, _name(method), "server", parent, {"http.request.method": known})


def answered(span: Span, method: str, route: str | None, status: int) -> None:
    """End it, by the template of the route: the path itself may hold the token of a link."""
    if not span.recorded or route in _PROBES:
        return
    told: dict[str, str | int] = {"http.response.status_code": status}
    if route is not None:
        told["http.route"] = route
    span.tell(told, name=f"{_name(method)} {route}" if route else None)
    if status >= 500:
        span.fail(str(status))
    span.end()


def calling(service: str, url: str, parent: str | None, *, before: int = 0) -> Span:
    """Begin a POST to a receiver, with so many attempts before it. Of its URL only the host is told: what follows may be
    a secret of theirs."""
    if not recording():
        return unrecorded(parent)
    told = _target(url)
    again = {**told, "http.request.resend_count": before} if before else told
    return start(service, "POST", "client", parent, again)


def carried_by(span: Span) -> dict[str, str]:
    """The header by which a receiver may continue the trace; an event may have brought one that is none."""
    trace = span.traceparent
    return {TRACEPARENT: trace} if trace is not None and well_formed(trace) else {}


def replied(span: Span, reply: Reply) -> None:
    """What came of the POST."""
    if not span.recorded:
        return
    if reply.status is not None:
        span.tell({"http.response.status_code": reply.status})
    if reply.error is not None or reply.status is None or reply.status >= 400:
        span.fail("timeout" if reply.timed_out else str(reply.status or "no_answer"))


def _name(method: str) -> str:
    """What a span is called by, as OpenTelemetry has it for methods that clients make up."""
    return "HTTP" if method == "other" else method


@lru_cache(maxsize=4_096)
def _target(url: str) -> Attributes:
    told: dict[str, str | int] = {"http.request.method": "POST"}
    with suppress(ValueError):  # no URL: the POST itself will say so
        parts = urlsplit(url)
        told["server.port"] = parts.port or (443 if parts.scheme == "https" else 80)
        told["server.address"] = parts.hostname or ""
    return told
