"""The transaction event: a CloudEvents 1.0 envelope, decoded with msgspec because it is the hot path."""

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec

from shared.errors import Undecodable

MAX_EVENT_BYTES = 256 * 1024

Id = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
Aware = Annotated[datetime, msgspec.Meta(tz=True)]


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """What a business system tells us; `(source, id)` names it, `subject` is the customer ID.

    Attributes that we do not know (CloudEvents extensions) are carried on in the log and ignored here.
    """

    specversion: Literal["1.0"]
    id: Id
    source: Id
    type: Id
    subject: Id
    time: Aware | None = None
    datacontenttype: Annotated[str, msgspec.Meta(max_length=255)] | None = None
    traceparent: Annotated[str, msgspec.Meta(max_length=128)] | None = None
    data: dict[str, Any] = {}


_decoder = msgspec.json.Decoder(Event)


def decode_event(value: bytes | None) -> Event:
    """Read one event from the log. Raises `Undecodable` with the field and what is wrong with it."""
    if value is None:
        raise Undecodable("the record has no value")
    try:
        return _decoder.decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Undecodable(f"not a CloudEvents event: {error}") from error
