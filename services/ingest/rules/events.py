"""Whether a received event is one: a single decode says so for a good one, and a slow look says what is wrong."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from services.ingest.rules.text import allowed, fits, surely_fits, trouble
from shared.contracts.events import MAX_EVENT_BYTES, Event, decode_event
from shared.errors import Undecodable
from shared.http.numbers import MOST, too_many_huge
from shared.http.problems import FieldError

FUTURE: Final = timedelta(minutes=5)
EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)
HUGE: Final = (f"has more than {MOST} numbers beyond 1e200 or below 1e-199", "fewer, or as text")
MAX_ERRORS: Final = 5
"""How many of its errors are listed of one event."""

_LARGE_BYTES: Final = 16 * 1024
"""Smaller events are not looked through for numbers that decode slowly: they can hold few."""

_BACKSLASH: Final = ord("\\")
"""As a number, which is found in a third of the time that a text of one byte takes."""

_JSON_MEDIA = re.compile(
    r"(application/json|[a-z0-9!#$&^_.-]+/[a-z0-9!#$&^_.-]+\+json)", re.IGNORECASE
)
_EXTENSION = re.compile(r"[a-z0-9]{1,20}")
_REQUIRED = ("specversion", "id", "source", "type", "subject")
_RIGHT: Final = {
    "specversion": '"1.0"',
    "id": "an id of 1 to 255 characters that stays the same when the event is sent again",
    "source": "a text of 1 to 255 characters",
    "type": "a text of 1 to 255 characters",
    "subject": "the customer ID, of 1 to 255 characters",
    "time": "a time as RFC 3339 writes it, such as 2026-11-24T12:00:00Z",
}
_OPTIONAL = frozenset({"time", "datacontenttype", "dataschema", "data", "data_base64"})
_INT32 = 2**31


class _Plain(Event, frozen=True, kw_only=True, forbid_unknown_fields=True, gc=False):
    """An event with no extensions but those of tracing. That its data is JSON is all that the decoder says of it."""

    dataschema: str | None = None
    tracestate: str | None = None
    data: msgspec.Raw = msgspec.Raw(b"{}")  # type: ignore[assignment]  # not made into objects


class Good(msgspec.Struct, frozen=True, gc=False):
    """An event that is taken in, as the bytes that go to the log."""

    source: str
    id: str
    subject: str
    value: bytes
    traceparent: str | None = None
    """What the event itself says of its trace."""


_decode_plain = msgspec.json.Decoder(_Plain).decode
_decode_data = msgspec.json.Decoder(dict[str, Any]).decode
_decode_any = msgspec.json.Decoder().decode


def read_event(value: bytes, now: datetime) -> Good | list[FieldError]:
    """Check a structured event in JSON. What is good here is always decodable by those who read the log."""
    if len(value) > MAX_EVENT_BYTES:
        return [
            FieldError(
                "", f"is {len(value):,} bytes", f"an event of at most {MAX_EVENT_BYTES:,} bytes"
            )
        ]
    if len(value) > _LARGE_BYTES and too_many_huge(value):
        return [FieldError("data", *HUGE)]
    try:
        event = _decode_plain(value)
        if _plainly_good(event, value, now):
            return Good(event.source, event.id, event.subject, value, event.traceparent)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        pass
    return _look(value, now)


def _plainly_good(event: _Plain, value: bytes, now: datetime) -> bool:
    """Raises what a decoder raises for data that it cannot read."""
    data = bytes(event.data)
    if not data.isascii():
        data.decode()
    return (
        (_BACKSLASH not in value or b"\\u0000" not in value)
        and (event.time is None or EARLIEST <= event.time <= now + FUTURE)
        and event.datacontenttype in (None, "application/json")
        and event.id.isprintable()
        and event.source.isprintable()
        and event.type.isprintable()
        and event.subject.isprintable()
        and (event.dataschema is None or event.dataschema.isprintable())
        and (event.traceparent is None or event.traceparent.isprintable())
        and (event.tracestate is None or event.tracestate.isprintable())
        and (surely_fits(data) or fits(_decode_data(data)))
    )


def _look(value: bytes, now: datetime) -> Good | list[FieldError]:
    """The whole truth, slowly: every problem of an event with its place."""
    try:
        document = _decode_any(value)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        return [FieldError("", f"is not JSON: {error}", "a CloudEvents event in UTF-8 JSON")]
    except RecursionError:
        return [FieldError("", "is nested too deep", "a CloudEvents event")]
    if not isinstance(document, dict):
        return [FieldError("", "is not an object", "a CloudEvents event")]
    errors = [*_missing(document), *_attributes(document), *_data(document)]
    if errors:
        return errors[:MAX_ERRORS]
    try:
        event = decode_event(value)
    except Undecodable as undecodable:
        return [_field(str(undecodable))]
    if event.time is not None and not EARLIEST <= event.time <= now + FUTURE:
        return [
            FieldError(
                "time", "is out of range", "a time from 1970 on, at most 5 minutes in the future"
            )
        ]
    return Good(event.source, event.id, event.subject, value, event.traceparent)


def _missing(document: dict[str, Any]) -> Sequence[FieldError]:
    return [
        FieldError(name, "is missing", _RIGHT[name])
        for name in _REQUIRED
        if document.get(name) is None
    ]


def _attributes(document: dict[str, Any]) -> list[FieldError]:
    errors: list[FieldError] = []
    for name, value in document.items():
        if name in ("data", "data_base64"):
            continue
        if problem := _attribute(name, value):
            errors.append(FieldError(name[:60], *problem))
    return errors


def _attribute(name: str, value: Any) -> tuple[str, str] | None:
    if name == "workspace":
        return (
            "must not be set",
            "no such attribute: the workspace is that of the API key or the inlet",
        )
    if name not in _OPTIONAL and not _EXTENSION.fullmatch(name):
        return "is not the name of an attribute", "1 to 20 lower-case letters and digits"
    if isinstance(value, str):
        return None if allowed(value) else ("has a control character", "printable text")
    if name in _REQUIRED or name in _OPTIONAL:
        return None
    small = isinstance(value, int) and -_INT32 <= value < _INT32
    return (
        None
        if value is None or small
        else ("has an unfit value", "a text, a boolean or a 32-bit integer")
    )


def _data(document: dict[str, Any]) -> list[FieldError]:
    if "data_base64" in document:
        return [FieldError("data_base64", "is not taken", "JSON in `data`")]
    media = document.get("datacontenttype")
    if isinstance(media, str) and not is_json(media):
        return [
            FieldError("datacontenttype", f"is {media[:100]!r}", "application/json, or left out")
        ]
    data = document.get("data", {})
    if not isinstance(data, dict):
        return [FieldError("data", "is not an object", "a JSON object, or left out")]
    found = trouble(data, "data")
    return [FieldError(*found)] if found else []


def is_json(media: str) -> bool:
    """Whether a content type says JSON in UTF-8."""
    kind, _, parameters = media.partition(";")
    charset = re.search(r"charset\s*=\s*\"?([^\s\";]+)", parameters, re.IGNORECASE)
    return _JSON_MEDIA.fullmatch(kind.strip()) is not None and (
        charset is None or charset[1].lower() in ("utf-8", "utf8", "us-ascii")
    )


def _field(reason: str) -> FieldError:
    """The decoder's own sentence, whose place stands at its end as `$.subject`."""
    message, _, place = reason.removeprefix("not a CloudEvents event: ").partition(" - at `$")
    at = place.rstrip("`").removeprefix(".")
    return FieldError(at, message, _RIGHT.get(at, "as CloudEvents 1.0 has it"))
