"""What spans do to messages: nothing but a header, and not even that where it would be one byte too many."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from shared.contracts.envelope import Received, decode_message, encode_message
from shared.contracts.keys import Key
from shared.contracts.messages import CustomerChanged
from shared.log import Outgoing, Record
from shared.log.limits import MAX_RECORD_BYTES, refuse_oversized, size_of
from shared.tracing import record_by
from shared.tracing.messages import observed, publishing
from shared.worker import Subscription
from tests.fakes import NotingTracer

AT = datetime(2026, 11, 23, 9, tzinfo=UTC)
TRACE = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"


@pytest.fixture
def tracer() -> Iterator[NotingTracer]:
    noting = NotingTracer(0.0)
    record_by(noting)
    yield noting
    record_by(None)


def message(traceparent: str | None, note: str = "") -> Outgoing:
    changed = CustomerChanged(revision=1, id="c", attributes={"note": note}, changed_at=AT)
    key = Key("acme", "c")
    return encode_message(key, changed, id="e", source="t", time=AT, traceparent=traceparent)


def test_a_message_takes_the_span_along_that_published_it(tracer: NotingTracer) -> None:
    records = [message(TRACE), message(None), message(TRACE[:-1] + "0")]
    with publishing("ingest", records) as carrying:
        assert [one.headers for one in carrying] == [
            (("traceparent", tracer.begun[0].traceparent.encode()),), (), (),
        ]  # fmt: skip
        assert [one.value for one in carrying] == [one.value for one in records]
    assert [span.name for span in tracer.begun] == ["send customers"]
    assert tracer.begun[0].ended


def test_a_message_that_the_log_takes_is_not_refused_with_the_header(tracer: NotingTracer) -> None:
    room = MAX_RECORD_BYTES - size_of(message(TRACE))
    largest = message(TRACE, "x" * room)
    assert size_of(largest) == MAX_RECORD_BYTES
    with publishing("ingest", [largest]) as carrying:
        refuse_oversized(carrying)
    assert tracer.begun[0].ended


def test_a_message_that_was_not_published_says_so(tracer: NotingTracer) -> None:
    with pytest.raises(TimeoutError), publishing("ingest", [message(TRACE)]):
        raise TimeoutError
    assert (tracer.begun[0].failed, tracer.begun[0].ended) == ("TimeoutError", True)


async def test_a_record_that_is_handled_says_where_it_lies(tracer: NotingTracer) -> None:
    handled: list[Received[Any]] = []

    async def handle(batch: Sequence[Received[Any]]) -> None:
        handled.extend(batch)

    subscription = observed("scoring", "customers", Subscription(handle))
    records = [
        Record("customers", 3, 40 + number, b"acme/c", message(trace).value or b"", (), 0)
        for number, trace in enumerate([TRACE, TRACE[:-1] + "0"])
    ]
    decoded = [decode_message(one) for one in records]
    await subscription.handle([one for one in decoded if one is not None])
    one, whole = tracer.begun
    assert (one.name, whole.name) == ("process customers", "process customers batch")
    assert {
        "messaging.consumer.group.name": "scoring",
        "messaging.destination.partition.id": "3",
        "messaging.kafka.offset": 40,
    }.items() <= one.attributes.items()
    assert whole.attributes["messaging.batch.message_count"] == 2
    assert [each.traceparent for each in handled] == [one.traceparent, TRACE[:-1] + "0"]
