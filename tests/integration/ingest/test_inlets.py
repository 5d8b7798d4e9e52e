"""Inlets: what business systems produce themselves is taken in, or stands in their workspace's dead letters."""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from services.ingest.intake.inlets import decode_inlet
from shared.contracts.envelope import decode_transaction_event
from shared.errors import Undecodable
from shared.log import Outgoing, Record
from tests.integration.ingest.conftest import Ingest
from tests.support import eventually

EVENT: dict[str, Any] = {
    "specversion": "1.0",
    "id": "order-1",
    "source": "/shop",
    "type": "shop.purchase.completed",
    "subject": "c/17",
    "data": {"amount": 12.5},
}
TRACE = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"
BINARY = tuple(
    (f"ce_{name}", str(value).encode()) for name, value in EVENT.items() if name != "data"
)
JSON = (("content-type", b"application/json"),)


def record(value: bytes | None, headers: Sequence[tuple[str, bytes]] = ()) -> Record:
    return Record("acme-in", 0, 0, b"any key", value, tuple(headers), 1_772_000_000_000)


@pytest.mark.parametrize(
    ("value", "headers"),
    [
        (json.dumps(EVENT).encode(), ()),
        (
            json.dumps(EVENT).encode(),
            (("content-type", b"application/cloudevents+json; charset=UTF-8"),),
        ),
        (b'{"amount": 12.5}', (*BINARY, *JSON)),
    ],
)
def test_structured_and_binary_records_are_events(
    value: bytes, headers: Sequence[tuple[str, bytes]]
) -> None:
    found = decode_inlet("acme", record(value, (*headers, ("traceparent", TRACE.encode()))))
    assert (found.workspace, found.entity, found.traceparent) == ("acme", "c/17", TRACE)
    assert json.loads(found.message.value) | {"datacontenttype": 0} == EVENT | {
        "datacontenttype": 0
    }


def test_a_trace_in_an_event_is_its_own_unless_a_header_brings_another() -> None:
    value = json.dumps(EVENT | {"traceparent": TRACE}).encode()
    other = TRACE.replace("a", "f")
    assert decode_inlet("acme", record(value)).traceparent == TRACE
    assert (
        decode_inlet("acme", record(value, [("traceparent", other.encode())])).traceparent == other
    )
    wrong = json.dumps(EVENT | {"traceparent": "made up"}).encode()
    assert decode_inlet("acme", record(wrong)).traceparent is None


@pytest.mark.parametrize(
    ("value", "headers"),
    [
        (None, ()),
        (b"", ()),
        (b"not json", ()),
        (json.dumps([EVENT]).encode(), ()),
        (json.dumps([EVENT]).encode(), (("content-type", b"application/cloudevents-batch+json"),)),
        (json.dumps(EVENT | {"subject": None}).encode(), ()),
        (json.dumps(EVENT | {"workspace": "other"}).encode(), ()),
        (b"x", (*BINARY, ("content-type", b"text/plain"))),
        (b"{}", (*JSON, *BINARY, ("ce_subject", b"\xff"))),
        (b"{}", (*JSON, *BINARY, ("ce_workspace", b"other"))),
        (b"{}", (("ce_id", b"1"), *JSON)),
        (b"\xff\xfe", (("content-type", b"\xff"), ("traceparent", b"\xff"))),
    ],
)
def test_anything_else_is_undecodable(
    value: bytes | None, headers: Sequence[tuple[str, bytes]]
) -> None:
    with pytest.raises(Undecodable, match="not a CloudEvents event"):
        decode_inlet("acme", record(value, headers))


async def test_an_inlet_feeds_events_and_its_workspace_sees_what_died(ingest: Ingest) -> None:
    hostile = (("afterword-reason", b"\xff"), ("afterword-topic", b"events"))
    async with ingest.log.producer() as producer, ingest.working():
        await producer.send(
            [
                Outgoing("acme-in", b"other/x", b"poison", hostile),
                Outgoing(
                    "acme-in",
                    b"other/x",
                    json.dumps(EVENT).encode(),
                    (("traceparent", TRACE.encode()),),
                ),
            ]
        )

        async def moved() -> list[Record]:
            return await ingest.records("events")

        (found,) = await eventually(moved, what="the event of the inlet")
        assert found.key == b"acme/c/17"
        assert decode_transaction_event(found).traceparent == TRACE

        async def died() -> list[Any]:
            answer = await ingest.call("GET", "/v1/operations/ingest/dead-letters")
            assert answer.status_code == 200, answer.text
            items: list[Any] = answer.json()["items"]
            return items

        (letter,) = await eventually(died, what="the dead letter")
        assert letter["topic"] == "acme-in"
        assert "not a CloudEvents event" in letter["reason"]
        path = f"/v1/operations/ingest/dead-letters/{letter['id']}"
        assert (await ingest.call("GET", path)).json()["value"] == "poison"
        assert (await ingest.call("POST", f"{path}/replay")).status_code == 409
        others = await ingest.call("GET", "/v1/operations/ingest/dead-letters", workspace="other")
        assert others.json() == {"items": []}
        assert (await ingest.call("GET", path, workspace="other")).status_code == 404
