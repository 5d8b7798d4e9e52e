"""Spans of messages: one when the log takes it, one when it has been handled, and one of each batch.

A batch has as many parents as records. It is a trace of its own, linked with those of its records, each of which goes
on in a span that lasts as long as the batch; what a record leads to continues that one.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final

import msgspec

from shared.contracts.envelope import TRACEPARENT, Received, trace_at_end
from shared.log import Outgoing
from shared.log.limits import MAX_RECORD_BYTES, size_of
from shared.telemetry import traced
from shared.tracing import Span, recording, start, unrecorded
from shared.worker import Subscription

_GROUP: Final = "messaging.consumer.group.name"
_PARTITION: Final = "messaging.destination.partition.id"
_OFFSET: Final = "messaging.kafka.offset"
"""With the partition, where the record lies: a dead letter and an alert about a partition name both."""


def sending(service: str, topic: str, parent: str | None, count: int | None = None) -> Span:
    """Begin to append to a topic; the span's traceparent goes into the records' headers."""
    if not recording():
        return unrecorded(parent)
    return start(service, f"send {topic}", "producer", parent, _attributes("send", topic, count))


@contextmanager
def publishing(service: str, records: Sequence[Outgoing]) -> Iterator[Sequence[Outgoing]]:
    """Each message of the outbox goes on in a span that is a child of the one that committed it, and takes its
    traceparent along in a header; the time between both is what it waited."""
    if not recording():
        yield records
        return
    spans: list[Span] = []
    try:
        yield [_published(service, record, spans) for record in records]
    except BaseException as error:
        for span in spans:
            span.fail(type(error).__qualname__)
        raise
    finally:
        for span in spans:
            span.end()


def observed(service: str, topic: str, subscription: Subscription) -> Subscription:
    """The subscription with its batches in spans; the same one while nothing is recorded."""
    if not recording():
        return subscription

    async def handle(batch: Sequence[Received[Any]]) -> None:
        with _processing(service, topic, batch) as carried:
            await subscription.handle(carried)

    return replace(subscription, handle=handle)


@contextmanager
def _processing(
    service: str, topic: str, batch: Sequence[Received[Any]]
) -> Iterator[Sequence[Received[Any]]]:
    one = {**_attributes("process", topic), _GROUP: service}
    name = f"process {topic}"
    spans = [start(service, name, "consumer", each.traceparent, one) for each in batch]
    carried = [
        msgspec.structs.replace(each, traceparent=span.traceparent)
        for each, span in zip(batch, spans, strict=True)
    ]
    for span, each in zip(spans, batch, strict=True):
        if span.recorded:
            span.tell({_PARTITION: str(each.record.partition), _OFFSET: each.record.offset})
    ours = [span for span in spans if span.recorded]
    if not ours:
        yield carried
        return
    links = [span.traceparent for span in ours if span.traceparent]
    many = {**_attributes("process", topic, len(batch)), _GROUP: service}
    whole = start(service, f"{name} batch", "consumer", None, many, links)
    for span in ours:
        span.link(whole)
    try:
        with whole, traced(whole.traceparent):
            yield carried
    except BaseException as error:
        for span in ours:
            span.fail(type(error).__qualname__)
        raise
    finally:
        for span in ours:
            span.end()


def _published(service: str, record: Outgoing, spans: list[Span]) -> Outgoing:
    """The record as it is sent. One that the log took without the header is not to be refused with it."""
    parent = trace_at_end(record.value)
    if parent is None:
        return record
    span = sending(service, record.topic, parent)
    if not span.recorded or span.traceparent is None:
        return record
    spans.append(span)
    header = (TRACEPARENT, span.traceparent.encode())
    carrying = msgspec.structs.replace(record, headers=(*record.headers, header))
    return carrying if size_of(carrying) <= MAX_RECORD_BYTES else record


def _attributes(operation: str, topic: str, count: int | None = None) -> dict[str, str | int]:
    told: dict[str, str | int] = {
        "messaging.operation.name": operation,
        "messaging.operation.type": operation,
        "messaging.destination.name": topic,
    }
    if count is not None:
        told["messaging.batch.message_count"] = count
    return told
