"""What one request to the intake comes to: the events that are good, and what is wrong with the others."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime
from functools import lru_cache
from typing import Any, Final
from urllib.parse import quote

import msgspec

from services.ingest.rules.binding import (
    BATCH,
    STRUCTURED,
    from_binary,
    media_type,
    percent_decoded,
)
from services.ingest.rules.events import HUGE, Good, is_json, read_event
from shared.contracts.events import MAX_EVENT_BYTES
from shared.http.numbers import too_many_huge
from shared.http.problems import FieldError, Problem, invalid

MAX_ITEMS: Final = 1_000
_LARGE_BYTES: Final = 64 * 1024
"""Smaller bodies are not looked through for numbers that decode slowly: it would cost every event of them."""

_TYPES: Final = (
    f"{STRUCTURED}, {BATCH}, or application/json with ce-* headers or `specversion` in the body"
)
_decode = msgspec.json.Decoder().decode
_UNRESERVED = re.compile(r"[A-Za-z0-9._~-]*")
_split = msgspec.json.Decoder(list[msgspec.Raw]).decode


class Intake(msgspec.Struct):
    """The events of a request in their order; `bad` holds the errors of each refused one by its index."""

    batch: bool
    good: list[Good] = []
    bad: dict[int, list[FieldError]] = {}

    def problem(self) -> Problem:
        """422 with every bad event. Only for an intake that has some."""
        errors = [error for index in self.bad for error in self.errors(index)]
        if not self.batch:
            return invalid(errors)
        count = f"{len(self.bad)} of {len(self.bad) + len(self.good)} events"
        return Problem(
            422,
            "invalid",
            f"{count} cannot be taken; the first: {errors[0].at} {errors[0].message}",
            errors,
        )

    def errors(self, index: int) -> Sequence[FieldError]:
        """The errors of one event, placed in the body as it was sent."""
        found = self.bad[index]
        if not self.batch:
            return [replace(error, at=error.at or "body") for error in found]
        return [
            replace(error, at=f"[{index}].{error.at}" if error.at else f"[{index}]")
            for error in found
        ]


def read_request(headers: Mapping[bytes, bytes], body: bytes, now: datetime) -> Intake:
    """Read a request in any of the three modes. Raises a 400, 413, 415 or 422 `Problem` for what is no request at all."""
    content_type = headers.get(b"content-type", b"").decode("latin-1")
    if content_type == STRUCTURED:
        return _single(body, now)
    media = media_type(content_type)
    if media in (STRUCTURED, BATCH):
        _utf8(content_type)
        return _batch(body, now) if media == BATCH else _single(body, now)
    if b"ce-specversion" in headers or b"ce-id" in headers:
        return _binary(headers, content_type or None, body, now)
    if media == "application/json":
        _utf8(content_type)
        return _batch(body, now) if body.lstrip()[:1] == b"[" else _single(body, now)
    raise Problem(
        415, "content-type", f"The content type {media[:100] or 'is missing; it'} must be {_TYPES}."
    )


def _utf8(content_type: str) -> None:
    if ";" in content_type and not is_json(content_type):
        raise Problem(415, "content-type", "The body must be JSON in UTF-8.")


def _single(body: bytes, now: datetime) -> Intake:
    if len(body) > MAX_EVENT_BYTES:
        raise Problem(413, "too-large", f"An event may have at most {MAX_EVENT_BYTES:,} bytes.")
    _not_slow(body)
    found = read_event(body, now)
    if isinstance(found, Good):
        return Intake(batch=False, good=[found])
    _must_be_json(body)
    return Intake(batch=False, bad={0: found})


def _must_be_json(body: bytes) -> None:
    try:
        _decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Problem(400, "not-json", f"The body is not JSON: {error}") from None


def _binary(
    headers: Mapping[bytes, bytes], content_type: str | None, body: bytes, now: datetime
) -> Intake:
    attributes = {
        name[3:].decode("latin-1"): percent_decoded(value)
        for name, value in headers.items()
        if name.startswith(b"ce-")
    }
    event = from_binary(attributes, content_type, body)
    if isinstance(event, bytes):
        return _single(event, now)
    return Intake(batch=False, bad={0: event})


def _batch(body: bytes, now: datetime) -> Intake:
    _not_slow(body)
    items = _items(body)
    intake = Intake(batch=True)
    for index, item in enumerate(items):
        found = read_event(bytes(item), now)
        if isinstance(found, Good):
            intake.good.append(found)
        else:
            intake.bad[index] = found
    return intake


def _not_slow(body: bytes) -> None:
    if len(body) > _LARGE_BYTES and too_many_huge(body):
        raise invalid([FieldError("body", *HUGE)])


def _items(body: bytes) -> list[msgspec.Raw]:
    try:
        items = _split(body)
    except msgspec.ValidationError:
        raise invalid([FieldError("body", "is not a list", "a JSON list of CloudEvents")]) from None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Problem(400, "not-json", f"The body is not JSON: {error}") from None
    if not items:
        raise invalid([FieldError("body", "is an empty list", "at least one event")])
    if len(items) > MAX_ITEMS:
        raise Problem(
            413,
            "too-many",
            f"The batch has {len(items):,} events; at most {MAX_ITEMS:,} are taken at once.",
        )
    return items


def accepted_json(intake: Intake) -> dict[str, Any]:
    """The body of the 202: how many, for one event where its decision will be, for a batch what was refused."""
    if intake.batch:
        refused = [
            {"index": index, "errors": [asdict(error) for error in intake.errors(index)]}
            for index in intake.bad
        ]
        return {"accepted": len(intake.good)} | ({"refused": refused} if refused else {})
    event = intake.good[0]
    decisions = f"/v1/decisions?source={_quoted(event.source)}&event={_quoted(event.id)}&wait=5s"
    return {
        "accepted": 1,
        "events": [{"source": event.source, "id": event.id, "decisions": decisions}],
    }


@lru_cache(maxsize=1_000)
def _quoted_slowly(text: str) -> str:
    """Remembered, because a business system has few sources."""
    return quote(text, safe="")


def _quoted(text: str) -> str:
    return text if _UNRESERVED.fullmatch(text) else _quoted_slowly(text)
