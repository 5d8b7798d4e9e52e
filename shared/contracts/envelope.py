"""How a message stands in the log: a structured CloudEvents 1.0 document that any console consumer can read."""

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Generic, Literal, NamedTuple, TypeVar

import msgspec
from pydantic import ValidationError

from shared.contracts.events import Event, decode_event
from shared.contracts.keys import Key, decode_key
from shared.contracts.lean import lean_decoder
from shared.contracts.messages import MESSAGES, Message
from shared.contracts.topics import Topic
from shared.errors import Undecodable, UnknownMajor
from shared.log import Outgoing, Record

M = TypeVar("M")
TRACEPARENT = "traceparent"
"""In an envelope, where what is told began; in a record's header, the hop that brought it, which goes before."""
_LAST_FIELD = re.compile(rb',"traceparent":"([0-9a-f-]{55})"}')
_LAST_FIELD_BYTES = 73
_BY_TYPE = {model.TYPE: model for model in MESSAGES}


class _Envelope(msgspec.Struct, kw_only=True):
    specversion: Literal["1.0"]
    id: str
    source: str
    type: str
    subject: str
    time: datetime
    schemaversion: str
    datacontenttype: str = "application/json"
    traceparent: str | None = None
    data: msgspec.Raw


class Encoded(NamedTuple):
    """A message in the form in which it travels, for who stores it in the same form."""

    model: type[Message]
    data: msgspec.Raw


def encoded(message: Message) -> Encoded:
    """Encode a message once for all that is done with it; what is None is left out."""
    return Encoded(type(message), msgspec.Raw(message.model_dump_json(exclude_none=True).encode()))


_decode_envelope = msgspec.json.Decoder(_Envelope).decode
_encode = msgspec.json.Encoder().encode


@lru_cache(maxsize=256)
def _moment(timestamp_ms: int) -> datetime:
    """The records of one append share their time."""
    return datetime.fromtimestamp(timestamp_ms / 1000, tz=UTC)


class Received(msgspec.Struct, Generic[M], frozen=True, gc=False):
    """A decoded record. The workspace comes from the key alone; `appended_at` is the log's clock."""

    workspace: str
    entity: str
    message: M
    record: Record
    traceparent: str | None
    told_at: datetime | None = None
    """The owner's moment of a message of ours; events have one of their own."""

    @property
    def appended_at(self) -> datetime:
        return _moment(self.record.timestamp_ms)


def encode_message(
    key: Key,
    message: Message | Encoded,
    *,
    id: str,
    source: str,
    time: datetime,
    traceparent: str | None,
) -> Outgoing:
    """The record that announces a message. Its `id` is new for each announcement; consumers dedupe by revision."""
    model, data = message if isinstance(message, Encoded) else encoded(message)
    fields = {
        "specversion": "1.0",
        "id": id,
        "source": f"/afterword/{source}",
        "type": model.TYPE,
        "subject": key.entity,
        "time": time,
        "schemaversion": model.VERSION,
        "datacontenttype": "application/json",
        "data": data,
    }
    if traceparent:
        fields[TRACEPARENT] = traceparent
    return Outgoing(model.TOPIC, key.encode(), _encode(fields))


def decode_message(record: Record) -> Received[Message] | None:
    """Read a record of one of our topics; None for a type that this version does not know.

    Raises `Undecodable`, or `UnknownMajor` when the schema's major version is newer than ours.
    """
    opened = _open(record)
    if opened is None:
        return None
    key, envelope, model = opened
    try:
        message = model.model_validate_json(bytes(envelope.data))
    except ValidationError as error:
        raise Undecodable(f"{envelope.type}: {_first_problem(error)}") from error
    trace = _trace_of(record, envelope.traceparent)
    return Received(key.workspace, key.entity, message, record, trace, envelope.time)


def decode_lean(wanted: type[Message], record: Record) -> Received[Any] | None:
    """`decode_message` for who reads many of one type: the message is the struct `lean` makes of the model, with its
    fields and without its methods. None for other types."""
    opened = _open(record)
    if opened is None or opened[2] is not wanted:
        return None
    key, envelope, _ = opened
    try:
        message = lean_decoder(wanted)(envelope.data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Undecodable(f"{envelope.type}: {error}") from error
    trace = _trace_of(record, envelope.traceparent)
    return Received(key.workspace, key.entity, message, record, trace)


def _open(record: Record) -> tuple[Key, _Envelope, type[Message]] | None:
    """The key, the envelope and the model of what is in it; None for a type that this version does not know."""
    key = decode_key(record.key)
    if record.value is None:
        return None
    try:
        envelope = _decode_envelope(record.value)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Undecodable(f"not one of our messages: {error}") from error
    model = _BY_TYPE.get(envelope.type)
    if model is None:
        return None
    major = envelope.schemaversion.partition(".")[0]
    if major != model.VERSION.partition(".")[0]:
        raise UnknownMajor(
            f"{envelope.type} has schema version {envelope.schemaversion}; this code reads {model.VERSION}"
        )
    return key, envelope, model


def decode_transaction_event(record: Record) -> Received[Event]:
    """Read a record of the events topic. Raises `Undecodable`."""
    key = decode_key(record.key)
    event = decode_event(record.value)
    trace = _trace_of(record, event.traceparent)
    return Received(key.workspace, key.entity, event, record, trace)


def trace_at_end(value: bytes | None) -> str | None:
    """The traceparent of a message that `encode_message` wrote, which puts it last, without decoding the message."""
    found = None if value is None else _LAST_FIELD.fullmatch(value[-_LAST_FIELD_BYTES:])
    return None if found is None else found[1].decode()


def _trace_of(record: Record, told: str | None) -> str | None:
    for name, value in record.headers:
        if name == TRACEPARENT and value:
            return value.decode("latin-1")
    return told


def decode_record(record: Record) -> Received[Event] | Received[Message] | None:
    """Decode by topic: events are the business systems' own envelopes, all else is ours."""
    return (
        decode_transaction_event(record) if record.topic == Topic.EVENTS else decode_message(record)
    )


def _first_problem(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
