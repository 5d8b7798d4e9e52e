"""What the intake takes in and what it refuses; above all, nothing that the readers of the log cannot read."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from services.ingest.rules import events
from services.ingest.rules.binding import from_binary, percent_decoded
from services.ingest.rules.events import Good, read_event
from shared.contracts.events import MAX_EVENT_BYTES, decode_event
from shared.contracts.values import Transaction
from shared.http.problems import FieldError

NOW = datetime(2026, 3, 1, tzinfo=UTC)
EVENT: dict[str, Any] = {
    "specversion": "1.0",
    "id": "order-1",
    "source": "/shop",
    "type": "shop.purchase.completed",
    "subject": "customer-17",
    "data": {"amount": 12.5},
}


def encoded(**changes: Any) -> bytes:
    return json.dumps(EVENT | changes, ensure_ascii=False).encode("utf-8", "surrogatepass")


def with_data(data: str) -> bytes:
    return encoded(data="DATA").replace(b'"DATA"', data.encode())


GOOD = {
    "plain": encoded(),
    "no data": json.dumps({k: v for k, v in EVENT.items() if k != "data"}).encode(),
    "in time": encoded(time="2026-03-01T08:00:00+08:00"),
    "four minutes ahead": encoded(time="2026-03-01T00:04:00Z"),
    "extensions": encoded(partitionkey="a", sampledrate=3, flag=True, gone=None),
    "tracing": encoded(traceparent="00-" + "a" * 32 + "-" + "b" * 16 + "-01", tracestate="x=y"),
    "json with charset": encoded(datacontenttype="application/json; charset=utf-8"),
    "vendor json": encoded(datacontenttype="application/vnd.shop+json", dataschema="urn:x"),
    "chinese": encoded(subject="顾客　一", data={"商品": "茶"}),
    "an escaped backslash": with_data(r'{"path": "C:\\u0000"}'),
    "38 digits": with_data('{"n": ' + "9" * 38 + "}"),
    "nested to the bound": with_data('{"a":' * 32 + "1" + "}" * 32),
    "the largest float": with_data('{"n": 1.7e308}'),
    "an attribute twice": encoded().replace(b'"id":', b'"id": "x", "id":'),
    "white space around": b" \n" + encoded() + b"\n",
}

BAD = {
    "no id": (encoded(id=None), "id"),
    "empty id": (encoded(id=""), "id"),
    "number as id": (encoded(id=7), "id"),
    "no subject": (encoded(subject=None), "subject"),
    "256 characters": (encoded(subject="x" * 256), "subject"),
    "no specversion": (encoded(specversion=None), "specversion"),
    "specversion 0.3": (encoded(specversion="0.3"), "specversion"),
    "control character": (encoded(id="a\nb"), "id"),
    "delete character": (encoded(source="a\x7f"), "source"),
    "noncharacter": (encoded(subject="\ufdd0"), "subject"),
    "lone surrogate": (encoded(subject="SUR").replace(b"SUR", rb"\ud800"), ""),
    "lone surrogate in data": (with_data(r'{"a": "\udfff"}'), ""),
    "surrogate in an extension": (encoded(ext="SUR").replace(b"SUR", rb"\ud800"), ""),
    "NUL in data": (with_data(r'{"a": ["\u0000"]}'), "data.a[0]"),
    "NUL in a key": (with_data(r'{"\u0000": 1}'), "data"),
    "NUL in an extension": (encoded(ext="x\x00"), "ext"),
    "NaN": (with_data('{"a": NaN}'), ""),
    "infinite": (with_data('{"a": 1e999}'), ""),
    "39 digits": (with_data('{"a": ' + "9" * 39 + "}"), "data.a"),
    "5,000 digits": (with_data('{"a": ' + "9" * 5_000 + "}"), ""),
    "too deep": (with_data('{"a":' * 33 + "1" + "}" * 33), "data"),
    "far too deep": (with_data('{"a":' * 40_000 + "1" + "}" * 40_000), ""),
    "invalid UTF-8": (encoded(ext="BAD").replace(b"BAD", b"\xff"), ""),
    "byte order mark": (b"\xef\xbb\xbf" + encoded(), ""),
    "UTF-16": (encoded().decode().encode("utf-16"), ""),
    "no JSON": (b"{", ""),
    "a list": (b"[]", ""),
    "text": (b'"x"', ""),
    "data is a list": (encoded(data=[1]), "data"),
    "data is null": (encoded(data=None), "data"),
    "data is text": (encoded(data="x"), "data"),
    "base64": (encoded(data_base64="AA=="), "data_base64"),
    "xml": (encoded(datacontenttype="application/xml"), "datacontenttype"),
    "utf-16 data": (encoded(datacontenttype="application/json; charset=utf-16"), "datacontenttype"),
    "a workspace": (encoded(workspace="other"), "workspace"),
    "upper-case extension": (encoded(Foo="x"), "Foo"),
    "extension with a dash": (encoded(**{"my-ext": "x"}), "my-ext"),
    "extension of 21 characters": (encoded(**{"a" * 21: "x"}), "a" * 21),
    "object as an extension": (encoded(ext={"a": 1}), "ext"),
    "float as an extension": (encoded(ext=1.5), "ext"),
    "large number as an extension": (encoded(ext=2**31), "ext"),
    "six minutes ahead": (encoded(time="2026-03-01T00:06:00Z"), "time"),
    "the year 1": (encoded(time="0001-01-01T00:00:00+14:00"), "time"),
    "no zone": (encoded(time="2026-03-01T00:00:00"), "time"),
    "no time": (encoded(time="yesterday"), "time"),
    "long traceparent": (encoded(traceparent="0" * 129), "traceparent"),
    "too large": (encoded(data={"a": "x" * MAX_EVENT_BYTES}), ""),
}


@pytest.mark.parametrize("value", GOOD.values(), ids=GOOD)
def test_a_good_event_goes_on_as_it_came(value: bytes) -> None:
    found = read_event(value, NOW)
    assert isinstance(found, Good), found
    assert found.value is value
    event = decode_event(value)
    assert (found.source, found.id, found.subject) == (event.source, event.id, event.subject)


@pytest.mark.parametrize(("value", "at"), BAD.values(), ids=BAD)
def test_a_bad_event_is_refused_with_its_place(value: bytes, at: str) -> None:
    found = read_event(value, NOW)
    assert isinstance(found, list), found
    assert found[0].at.startswith(at)
    assert bool(found[0].at) is bool(at), found
    assert all(error.message and error.expected for error in found)


def test_every_missing_attribute_is_named_at_once() -> None:
    found = read_event(b"{}", NOW)
    assert isinstance(found, list)
    assert [error.at for error in found] == ["specversion", "id", "source", "type", "subject"]


@pytest.mark.parametrize(
    ("value", "right"),
    [
        (encoded(id=""), "an id of 1 to 255 characters"),
        (encoded(source=7), "a text of 1 to 255 characters"),
        (encoded(subject="x" * 256), "the customer ID, of 1 to 255 characters"),
        (encoded(time="yesterday"), "2026-11-24T12:00:00Z"),
    ],
)
def test_what_would_be_right_of_an_attribute_is_said(value: bytes, right: str) -> None:
    found = read_event(value, NOW)
    assert isinstance(found, list)
    assert right in (found[0].expected or "")


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.sampled_from([10**38, -(10**38), 2**63, 1e308]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
names = st.sampled_from(
    [
        "specversion",
        "id",
        "source",
        "type",
        "subject",
        "time",
        "data",
        "datacontenttype",
        "dataschema",
        "traceparent",
        "tracestate",
        "data_base64",
        "ext",
        "Ext",
        "workspace",
    ]
)
times = st.datetimes(timezones=st.sampled_from([UTC])).map(lambda at: at.isoformat())
documents = st.dictionaries(
    names,
    json_values | st.text(max_size=300) | times | st.sampled_from(["1.0", "application/json"]),
    max_size=4,
).map(lambda changes: EVENT | changes)


def mangled(document: dict[str, Any], cut: int, junk: bytes) -> bytes:
    value = json.dumps(document, ensure_ascii=cut % 2 == 0).encode("utf-8", "surrogatepass")
    return (
        value
        if not junk
        else value[: cut % (len(value) + 1)] + junk + value[cut % (len(value) + 1) :]
    )


@settings(max_examples=400)
@given(
    documents,
    st.integers(0, 500),
    st.sampled_from([b"", b"", b"\xff", b",", b"}", b"\\u0000", b"9" * 400]),
)
@example(EVENT | {"data": {"a": 10**300}}, 0, b"")
def test_what_is_accepted_can_be_read_by_all_who_follow(
    document: dict[str, Any], cut: int, junk: bytes
) -> None:
    value = mangled(document, cut, junk)
    found = read_event(value, NOW)
    slow = events._look(value, NOW)
    assert isinstance(found, Good) is isinstance(slow, Good), (found, slow)
    if isinstance(found, Good):
        event = decode_event(value)
        assert event.time is None or event.time <= NOW + timedelta(minutes=5)
        message = Transaction(source=event.source, id=event.id, type=event.type, data=event.data)
        assert Transaction.model_validate_json(message.model_dump_json()).data == event.data
        assert b"\\u0000" not in msgspec.json.encode(event.data).replace(b"\\\\", b"")


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"plain", "plain"),
        (b"Euro%20%E2%82%AC", "Euro €"),
        (b'"quoted \\"text\\""', 'quoted "text"'),
        (b"50%", "50%"),
        (b"%25", "%"),
        (b"%C0%A0", None),
        (b"\xff", None),
    ],
)
def test_percent_decoding_of_headers(raw: bytes, expected: str | None) -> None:
    assert percent_decoded(raw) == expected


BINARY = {name: str(value) for name, value in EVENT.items() if name != "data"}


def test_binary_becomes_the_structured_event() -> None:
    value = from_binary(BINARY, "application/json", b'{"amount": 12.50}')
    assert isinstance(value, bytes)
    assert isinstance(read_event(value, NOW), Good)
    assert decode_event(value).data == {"amount": 12.5}
    assert b"12.50" in value


@pytest.mark.parametrize(
    ("attributes", "content_type", "body", "at"),
    [
        (
            BINARY | {"datacontenttype": "application/json"},
            "application/json",
            b"{}",
            "ce-datacontenttype",
        ),
        (BINARY | {"data": "x"}, None, b"", "ce-data"),
        (BINARY | {"id": None}, "application/json", b"{}", "ce-id"),
        (BINARY, "text/plain", b"x", "content-type"),
        (BINARY, None, b"{}", "content-type"),
        (BINARY, "application/json", b"{", "data"),
        (BINARY, "application/json", b'{}, "subject": "other"', "data"),
    ],
)
def test_what_binary_mode_refuses(
    attributes: dict[str, str | None], content_type: str | None, body: bytes, at: str
) -> None:
    found = from_binary(attributes, content_type, body)
    assert isinstance(found, list)
    assert [error.at for error in found] == [at]
    assert isinstance(found[0], FieldError)
