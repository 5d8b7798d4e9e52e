"""How messages stand in the log: plain CloudEvents JSON, the workspace from the key, versions apart."""

import json
from datetime import UTC, date, datetime

import pytest
from msgspec.structs import replace

from shared.contracts.envelope import (
    decode_message,
    decode_record,
    encode_message,
    trace_at_end,
)
from shared.contracts.keys import Key, decode_key
from shared.contracts.messages import CustomerChanged, ResponseChanged
from shared.contracts.values import Answer, QuestionKind
from shared.errors import Undecodable, UnknownMajor
from shared.log import Outgoing, Record

AT = datetime(2026, 11, 23, 9, tzinfo=UTC)
TRACE = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"


def encoded(message: CustomerChanged | ResponseChanged) -> Outgoing:
    return encode_message(
        Key("acme", "c/1"), message, id="e1", source="ingest", time=AT, traceparent=TRACE
    )


def stored(out: Outgoing, **changes: object) -> Record:
    document = json.loads(out.value or b"{}") | changes
    return Record(out.topic, 0, 7, out.key, json.dumps(document).encode(), (), 1_764_000_000_000)


CUSTOMER = CustomerChanged(
    revision=3, id="c/1", attributes={"tier": "gold", "名": [1, None]}, changed_at=AT
)


def test_a_message_is_plain_cloudevents_json_with_the_workspace_in_the_key_only() -> None:
    out = encoded(CUSTOMER)
    document = json.loads(out.value or b"")
    assert out.key == b"acme/c/1"
    assert (document["specversion"], document["type"], document["subject"]) == (
        "1.0",
        "afterword.customer.changed",
        "c/1",
    )
    assert document["data"]["attributes"] == {"tier": "gold", "名": [1, None]}
    assert "acme" not in (out.value or b"").decode()


def test_it_comes_back_equal_with_trace_and_position() -> None:
    received = decode_message(stored(encoded(CUSTOMER)))
    assert received is not None
    assert (received.workspace, received.entity, received.message) == ("acme", "c/1", CUSTOMER)
    assert (received.traceparent, received.record.offset) == (TRACE, 7)


def test_the_hop_that_brought_it_goes_before_where_it_began() -> None:
    hop = "00-" + "a" * 32 + "-" + "c" * 16 + "-01"
    record = replace(stored(encoded(CUSTOMER)), headers=(("traceparent", hop.encode()),))
    received = decode_message(record)
    assert received is not None
    assert received.traceparent == hop


def test_where_it_began_can_be_told_without_decoding_it() -> None:
    assert trace_at_end(encoded(CUSTOMER).value) == TRACE
    assert trace_at_end(None) is None
    named = CUSTOMER.model_copy(update={"attributes": {"traceparent": TRACE}})
    for message in (CUSTOMER, named):
        key = Key("acme", "c/1")
        out = encode_message(key, message, id="e1", source="ingest", time=AT, traceparent=None)
        assert trace_at_end(out.value) is None


def test_answers_keep_their_kinds_of_value() -> None:
    answers = (
        Answer(question="q1", kind=QuestionKind.NPS, metric="m", scale="0-10", value=9),
        Answer(question="q2", kind=QuestionKind.CHOICE, metric="m", scale="many", value=("a", "b")),
        Answer(question="q3", kind=QuestionKind.TEXT, metric="m", value="9"),
    )
    response = ResponseChanged(
        revision=1,
        id="r1",
        state="submitted",
        survey="s",
        survey_version=1,
        answers=answers,
        day=date(2026, 11, 23),
        submitted_at=AT,
        changed_at=AT,
    )
    received = decode_message(stored(encoded(response)))
    assert received is not None
    assert received.message == response


def test_unknown_fields_are_ignored_unknown_types_skipped_and_a_newer_major_stops() -> None:
    out = encoded(CUSTOMER)
    data = json.loads(out.value or b"")["data"]
    newer_minor = decode_message(stored(out, data=data | {"later": 1}, schemaversion="1.7"))
    assert newer_minor is not None
    assert newer_minor.message == CUSTOMER
    assert decode_message(stored(out, type="afterword.something.new")) is None
    with pytest.raises(UnknownMajor, match=r"2\.0"):
        decode_message(stored(out, schemaversion="2.0"))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (None, b"{}"),
        (b"", b"{}"),
        (b"acme", b"{}"),
        (b"acme/", b"{}"),
        (b"A!/c", b"{}"),
        (b"\xff/c", b"{}"),
        (b"acme/c", b""),
        (b"acme/c", b"\xff"),
        (b"acme/c", b"{"),
        (b"acme/c", b"[" * 100_000),
        (b"acme/c", b"{}"),
        (b"acme/c", b'{"specversion":"0.3"}'),
    ],
)
def test_what_we_did_not_write_is_undecodable(key: bytes | None, value: bytes) -> None:
    for topic in ("responses", "events"):
        with pytest.raises(Undecodable):
            decode_record(Record(topic, 0, 0, key, value, (), 0))


def test_a_message_that_breaks_its_schema_names_the_field() -> None:
    data = {"revision": "x", "id": "c", "changed_at": "2026-11-23T09:00:00Z"}
    with pytest.raises(Undecodable, match="revision"):
        decode_message(stored(encoded(CUSTOMER), data=data))


def test_a_customer_id_may_hold_slashes() -> None:
    assert decode_key(b"acme/a/b") == Key("acme", "a/b")
