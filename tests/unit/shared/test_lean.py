"""The lean form of a message says what its model says, of every message there is, and refuses what the model refuses."""

import json
from datetime import UTC, date, datetime, timedelta, timezone
from enum import Enum
from functools import partial
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace
from pydantic import BaseModel

from shared.contracts.envelope import decode_lean, decode_message, encode_message, encoded
from shared.contracts.keys import Key
from shared.contracts.lean import lean, lean_decoder
from shared.contracts.messages import (
    MESSAGES,
    AlertRaised,
    CustomerChanged,
    InvitationChanged,
    Message,
    ResponseChanged,
)
from shared.contracts.values import (
    Answer,
    CustomerSnapshot,
    Dimension,
    InvitationState,
    QuestionKind,
    Transaction,
)
from shared.errors import Undecodable, UnknownMajor
from shared.log import Record

AT = datetime(2026, 11, 23, 9, 30, 0, 250_000, tzinfo=UTC)
LEAST = ResponseChanged(
    revision=1,
    id="r1",
    state="deleted",
    survey="s",
    survey_version=1,
    day=date(2026, 11, 23),
    submitted_at=AT,
    changed_at=AT,
)
FULL = LEAST.model_copy(
    update={
        "state": "submitted",
        "invitation": "i1",
        "trigger": "t",
        "channel": "link",
        "journey": "buy",
        "touchpoint": "checkout",
        "locale": "zh",
        "customer": CustomerSnapshot(
            id="c/1", attributes={"层": [1, None, {"a": 1.5}]}, locale="zh"
        ),
        "transaction": Transaction(source="/s", id="1", type="bought", time=AT, data={"n": 2**60}),
        "dimensions": {"org": Dimension(value="7", path="cn/7")},
        "answers": (
            Answer(question="q1", kind=QuestionKind.NPS, metric="m", scale="0-10", value=9),
            Answer(question="q2", kind=QuestionKind.CHOICE, metric="m", value=("a", "b")),
            Answer(question="q3", kind=QuestionKind.TEXT, metric="m", value="9"),
        ),
    }
)
ALERT = AlertRaised(revision=1, id="a", rule="r", response=FULL, raised_at=AT)
CUSTOMER = CustomerChanged(revision=1, id="c/1", consent={"surveys": False}, changed_at=AT)
INVITATION = InvitationChanged(
    revision=1,
    id="i1",
    state=InvitationState.SENT,
    trigger="t",
    survey="s",
    channel="link",
    customer=CustomerSnapshot(id="c/1"),
    transaction=Transaction(
        source="/s",
        id="1",
        type="bought",
        time=datetime(2026, 11, 23, 9, 30, tzinfo=timezone(timedelta(hours=8))),
        data={"城": "上海\u2028\x7f/", "nothing": None, "all": [0.1, 1e300, -(2**63), True, {}]},
    ),
    link="https://ask.example/s/x",
    made_at=AT,
    expires_at=AT.replace(microsecond=0),
    changed_at=AT,
)
decode = partial(decode_lean, ResponseChanged)


def stored(message: Message, drop: str | None = None, **changes: Any) -> Record:
    """The message's record, its data without a field or with other values in it."""
    out = encode_message(
        Key("acme", "c/1"), message, id="e", source="ingest", time=AT, traceparent=None
    )
    document = json.loads(out.value or b"")
    document["data"] = {n: v for n, v in document["data"].items() if n != drop} | changes
    return Record(out.topic, 0, 7, out.key, json.dumps(document).encode(), (), 0)


def in_order(text: bytes) -> Any:
    return json.loads(text, object_pairs_hook=list)


def plain(value: Any) -> Any:
    """All that a value says, whatever class says it; an enumerated value keeps its class."""
    if isinstance(value, BaseModel):
        return {name: plain(getattr(value, name)) for name in type(value).model_fields}
    if isinstance(value, msgspec.Struct):
        return {name: plain(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, dict):
        return {name: plain(part) for name, part in value.items()}
    if isinstance(value, tuple):
        return tuple(map(plain, value))
    return (type(value), value) if isinstance(value, Enum) else value


@pytest.mark.parametrize("message", [LEAST, FULL])
def test_it_says_what_the_model_says(message: ResponseChanged) -> None:
    read, leanly_read = decode_message(stored(message)), decode(stored(message))
    assert read is not None
    assert leanly_read is not None
    assert plain(leanly_read.message) == plain(read.message)
    assert (leanly_read.workspace, leanly_read.entity) == (read.workspace, read.entity)


@pytest.mark.parametrize("model", MESSAGES)
def test_every_message_has_a_lean_form_with_its_fields_and_those_that_must_be_there(
    model: type[Message],
) -> None:
    fields = msgspec.structs.fields(lean(model))
    assert [field.name for field in fields] == list(model.model_fields)
    assert {field.name for field in fields if field.required} == {
        name for name, field in model.model_fields.items() if field.is_required()
    }


@pytest.mark.parametrize("message", [LEAST, FULL, ALERT, INVITATION, CUSTOMER])
def test_it_is_written_as_the_model_is(message: Message) -> None:
    """Field by field, also in their order: nobody can tell which form was announced."""
    as_announced = encoded(message).data
    lean_form = lean_decoder(type(message))(as_announced)
    assert in_order(msgspec.json.encode(lean_form)) == in_order(bytes(as_announced))


def test_a_newer_minor_version_may_say_more() -> None:
    received = decode(stored(FULL, later={"x": 1}))
    assert received is not None
    assert plain(received.message) == plain(FULL)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("revision", "x"),
        ("revision", None),
        ("state", "sent"),
        ("day", "2026-13-01"),
        ("changed_at", "2026-11-23T09:00:00"),
        ("customer", {"attributes": {}}),
        ("dimensions", {"org": {"value": "7"}}),
        ("answers", [{"question": "q", "kind": "stars", "metric": "m", "value": 1}]),
        ("answers", [{"question": "q", "kind": "nps", "metric": "m", "value": 1.5}]),
        ("id", "\ud800"),
    ],
)
def test_what_breaks_the_schema_is_undecodable_either_way(field: str, value: Any) -> None:
    record = stored(FULL, **{field: value})
    for read in (decode_message, decode):
        with pytest.raises(Undecodable):
            read(record)


@pytest.mark.parametrize(
    "name", [n for n, f in ResponseChanged.model_fields.items() if f.is_required()]
)
def test_a_missing_field_is_named(name: str) -> None:
    with pytest.raises(Undecodable, match=f"afterword.response.changed: .*{name}"):
        decode(stored(FULL, drop=name))


def test_another_message_is_not_read_and_a_newer_major_stops() -> None:
    assert decode(stored(ALERT)) is None
    record = stored(FULL)
    newer = (record.value or b"").replace(b'"schemaversion": "1.0"', b'"schemaversion": "2.0"')
    with pytest.raises(UnknownMajor):
        decode(replace(record, value=newer))
