"""Inlet topics: what a business system produces to Kafka itself is checked, re-keyed and put with all other events."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from services.ingest.instruments import EVENTS_ACCEPTED, EVENTS_REFUSED
from services.ingest.rules.binding import STRUCTURED, from_binary, media_type, plain_text
from services.ingest.rules.events import Good, read_event
from shared.contracts.envelope import TRACEPARENT, Received
from shared.contracts.keys import Key
from shared.contracts.topics import Topic
from shared.errors import Undecodable
from shared.http.middleware import trace_of
from shared.http.problems import FieldError
from shared.log import Outgoing, Producer, Record
from shared.tracing import well_formed
from shared.worker import Subscription

_DOOR: Final = "inlet"


def inlet_subscriptions(inlets: Mapping[str, str], producer: Producer) -> dict[str, Subscription]:
    """What ingest does with each inlet of the access file, given as topic and workspace."""
    return {topic: _subscription(workspace, producer) for topic, workspace in inlets.items()}


def _subscription(workspace: str, producer: Producer) -> Subscription:
    async def handle(batch: Sequence[Received[Good]]) -> None:
        """Append the events; a replay appends them again, which their source and id make harmless."""
        await producer.send([_outgoing(received) for received in batch])
        EVENTS_ACCEPTED.labels(_DOOR).inc(len(batch))

    def decode(record: Record) -> Received[Good]:
        return decode_inlet(workspace, record)

    return Subscription(handle, decode)


def decode_inlet(workspace: str, record: Record) -> Received[Good]:
    """The event in a record of an inlet, in structured or binary mode. Raises `Undecodable`."""
    headers = dict(record.headers)
    found = _read(headers, record.value)
    if isinstance(found, Good):
        trace = trace_of({TRACEPARENT.encode(): headers.get(TRACEPARENT, b"")})
        if trace is None and found.traceparent is not None and well_formed(found.traceparent):
            trace = found.traceparent
        return Received(workspace, found.subject, found, record, trace)
    EVENTS_REFUSED.labels(_DOOR).inc()
    first = found[0]
    expected = f" (expected: {first.expected})" if first.expected else ""
    raise Undecodable(
        f"not a CloudEvents event: {first.at or 'the value'} {first.message}{expected}"
    )


def _read(headers: Mapping[str, bytes], value: bytes | None) -> Good | list[FieldError]:
    content_type = headers.get("content-type", b"").decode("latin-1")
    media = media_type(content_type)
    if media.startswith("application/cloudevents") and media != STRUCTURED:
        return [
            FieldError(
                "content-type", f"is {media[:100]}", f"{STRUCTURED}, one event in each record"
            )
        ]
    if media == STRUCTURED or not any(name in headers for name in ("ce_specversion", "ce_id")):
        if value is None:
            return [FieldError("", "is missing", "a structured CloudEvents event, or headers ce_*")]
        return read_event(value, datetime.now(UTC))
    attributes = {
        name[3:]: plain_text(raw) for name, raw in headers.items() if name.startswith("ce_")
    }
    event = from_binary(attributes, content_type or None, value or b"")
    return read_event(event, datetime.now(UTC)) if isinstance(event, bytes) else event


def _outgoing(received: Received[Good]) -> Outgoing:
    headers = ((TRACEPARENT, received.traceparent.encode()),) if received.traceparent else ()
    event = received.message
    return Outgoing(
        Topic.EVENTS, Key(received.workspace, event.subject).encode(), event.value, headers
    )
