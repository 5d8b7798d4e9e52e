"""Reads events from the log; one that is broken but says its name gets a decision before it is given up."""

from collections.abc import Sequence
from typing import Any

import msgspec

from shared.contracts.envelope import Received, decode_transaction_event
from shared.contracts.events import Event, Id
from shared.contracts.keys import decode_key
from shared.errors import AfterwordError, Undecodable
from shared.log import Record

_UNKNOWN_TYPE = "unknown"


class Poisoned(AfterwordError):
    """A batch holds an event that can never be decided about; the loop bisects to it and gives it up."""


class Poison(Event, frozen=True, kw_only=True):
    """An event of which only the name could be read."""

    problem: str


class _Name(msgspec.Struct):
    id: Id
    source: Id
    type: Any = None


_decode_name = msgspec.json.Decoder(_Name).decode


def decode_event_record(record: Record) -> Received[Event]:
    """An event, or a `Poison` where only source and id can be read. Raises `Undecodable` where even these cannot."""
    try:
        return decode_transaction_event(record)
    except Undecodable as error:
        key = decode_key(record.key)
        try:
            name = _decode_name(record.value or b"")
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise error from None
        type = (
            name.type if isinstance(name.type, str) and 0 < len(name.type) <= 255 else _UNKNOWN_TYPE
        )
        poison = Poison(
            specversion="1.0",
            id=name.id,
            source=name.source,
            type=type,
            subject=key.entity,
            problem=str(error),
        )
        return Received(key.workspace, key.entity, poison, record, None)


def refuse_poison(batch: Sequence[Received[Event]]) -> None:
    """Raise `Poisoned` for the first event of a batch that is one."""
    for received in batch:
        if isinstance(received.message, Poison):
            raise Poisoned(received.message.problem)
