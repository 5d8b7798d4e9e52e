"""POST /v1/events from outside: three modes, hostile input, a log that is away, and too much at once."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from services.ingest.intake.http import EventsDoor
from shared import watched
from shared.auth import Access, mint_key
from shared.contracts.envelope import decode_transaction_event
from shared.contracts.topics import PARTITIONS, Topic, topic_specs
from shared.errors import Refused, Unavailable
from shared.http.middleware import MAX_BODY_BYTES
from shared.log import Log, Outgoing, Producer, Record, TopicPartition
from shared.log.opening import open_log
from shared.tracing import record_by
from tests.fakes import NotingTracer
from tests.support import eventually, write_access

EVENT: dict[str, Any] = {
    "specversion": "1.0",
    "id": "order-1",
    "source": "/shop",
    "type": "shop.purchase.completed",
    "subject": "customer 17",
    "data": {"amount": 12.5},
}
STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
TRACE = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"


@dataclass
class Door:
    """The intake in front of nothing: there is no database here at all."""

    client: httpx.AsyncClient
    log: Log

    async def post(
        self, content: Any, content_type: str | None = STRUCTURED, **parts: Any
    ) -> httpx.Response:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        headers = {"content-type": content_type} if content_type else {}
        return await self.client.post(
            parts.pop("path", "/v1/events"),
            content=body,
            headers=headers | parts.pop("headers", {}),
            **parts,
        )

    async def appended(self) -> list[Record]:
        found: list[Record] = []
        for partition in range(PARTITIONS):
            found += await self.log.read(
                TopicPartition(Topic.EVENTS, partition), 0, max_records=5_000
            )
        return found


async def nothing(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 418, "headers": []})
    await send({"type": "http.response.body", "body": scope["path"].encode()})


@asynccontextmanager
async def opened(
    tmp_path: Path,
    wrap: Callable[[Producer], Producer] = lambda producer: producer,
    bound: int = 2**26,
) -> AsyncIterator[Door]:
    keys = write_access(tmp_path / "access.yaml")
    access = Access.load(tmp_path / "access.yaml")
    async with open_log(f"sqlite:///{tmp_path / 'log'}") as log, log.producer() as producer:
        await log.create_topics(topic_specs())
        app = EventsDoor(nothing, access, wrap(producer), bound)
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app=app),
            base_url="http://ingest",
            headers={"authorization": f"Bearer {keys['acme']}"},
        ) as client:
            yield Door(client, log)


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Door]:
    async with opened(tmp_path) as door:
        yield door


async def test_a_structured_event_is_in_the_log_byte_for_byte(door: Door) -> None:
    body = json.dumps(EVENT, indent=3).encode()
    answer = await door.post(body, headers={"traceparent": TRACE, "x-request-id": "mine"})
    assert answer.status_code == 202
    assert answer.headers["x-request-id"] == "mine"
    assert answer.json() == {
        "accepted": 1,
        "events": [
            {
                "source": "/shop",
                "id": "order-1",
                "decisions": "/v1/decisions?source=%2Fshop&event=order-1&wait=5s",
            }
        ],
    }
    (record,) = await door.appended()
    assert (record.key, record.value) == (b"acme/customer 17", body)
    received = decode_transaction_event(record)
    assert (received.workspace, received.entity, received.traceparent) == (
        "acme",
        "customer 17",
        TRACE,
    )


@pytest.fixture
def tracer() -> Iterator[NotingTracer]:
    noting = NotingTracer(1.0)
    record_by(noting)
    yield noting
    record_by(None)


@pytest.mark.parametrize("brought", [{}, {"traceparent": TRACE}])
async def test_a_trace_goes_on_where_the_client_began_it(
    door: Door, tracer: NotingTracer, brought: dict[str, str]
) -> None:
    """One in an event itself is kept, unless the request brought another."""
    own = TRACE.replace("a", "f")
    batch = [EVENT, EVENT | {"id": "order-2", "traceparent": own}]
    answer = await door.post(json.dumps(batch).encode(), BATCH, headers=brought)
    assert answer.status_code == 202
    serving, sending = tracer.begun
    assert (serving.name, serving.parent) == ("POST /v1/events", brought.get("traceparent"))
    assert (sending.name, sending.parent) == ("send events", serving.traceparent)
    found = [decode_transaction_event(record) for record in await door.appended()]
    traces = {received.message.id: received.traceparent for received in found}
    assert traces == {
        "order-1": sending.traceparent,
        "order-2": sending.traceparent if brought else own,
    }


async def test_binary_mode(door: Door) -> None:
    attributes = {f"ce-{name}": value for name, value in EVENT.items() if name != "data"}
    attributes["ce-subject"] = "%E9%A1%BE%E5%AE%A2"
    answer = await door.post(EVENT["data"], "application/json", headers=attributes)
    assert answer.status_code == 202, answer.text
    (record,) = await door.appended()
    assert record.key == "acme/顾客".encode()
    assert decode_transaction_event(record).message.data == {"amount": 12.5}


@pytest.mark.parametrize(
    "content_type", [BATCH, "application/json", "application/json; charset=utf-8"]
)
async def test_a_batch_keeps_its_order_and_the_bytes_of_each(door: Door, content_type: str) -> None:
    events = [EVENT | {"id": f"e{n}"} for n in range(100)]
    answer = await door.post(events, content_type)
    assert (answer.status_code, answer.json()) == (202, {"accepted": 100})
    assert [record.value for record in await door.appended()] == [
        json.dumps(e).encode() for e in events
    ]


async def test_one_bad_event_refuses_its_batch_and_all_bad_ones_are_listed(door: Door) -> None:
    batch = [EVENT, EVENT | {"id": ""}, "x", EVENT | {"subject": None, "data": 1}]
    answer = await door.post(batch, BATCH)
    assert answer.status_code == 422
    problem = answer.json()
    assert problem["type"] == "/problems/invalid"
    assert [error["at"] for error in problem["errors"]] == [
        "[1].id",
        "[2]",
        "[3].subject",
        "[3].data",
    ]
    assert await door.appended() == []


async def test_report_takes_the_good_and_lists_the_bad(door: Door) -> None:
    answer = await door.post([EVENT, EVENT | {"id": ""}], BATCH, path="/v1/events?invalid=report")
    assert answer.status_code == 202
    body = answer.json()
    assert (body["accepted"], [each["index"] for each in body["refused"]]) == (1, [1])
    assert body["refused"][0]["errors"][0]["at"] == "[1].id"
    assert len(await door.appended()) == 1


async def test_report_with_nothing_good_is_refused_like_any_other(door: Door) -> None:
    answer = await door.post([EVENT | {"id": ""}], BATCH, path="/v1/events?invalid=report")
    assert answer.status_code == 422


HOSTILE: list[tuple[str, Any, str | None, dict[str, str], int]] = [
    ("no content type", EVENT, None, {}, 415),
    ("text", EVENT, "text/plain", {}, 415),
    ("xml", EVENT, "application/cloudevents+xml", {}, 415),
    ("utf-16 declared", EVENT, "application/json; charset=utf-16", {}, 415),
    ("compressed", EVENT, STRUCTURED, {"content-encoding": "gzip"}, 415),
    ("both lengths", EVENT, STRUCTURED, {"transfer-encoding": "chunked"}, 400),
    ("no JSON", b"{", STRUCTURED, {}, 400),
    ("nothing", b"", STRUCTURED, {}, 400),
    ("NaN", b'{"data": NaN}', STRUCTURED, {}, 400),
    ("a batch that is no JSON", b"[{", BATCH, {}, 400),
    ("a batch with rubbish after it", b"[] x", BATCH, {}, 400),
    ("a batch that is an object", EVENT, BATCH, {}, 422),
    ("an empty batch", [], BATCH, {}, 422),
    ("1,001 events", [{}] * 1_001, BATCH, {}, 413),
    ("100,000 events", b"[" + b"{}," * 99_999 + b"{}]", BATCH, {}, 413),
    ("deep lists", b"[" * 100_000, BATCH, {}, 400),
    ("deep lists, closed", b"[" * 100_000 + b"]" * 100_000, BATCH, {}, 400),
    ("over 1 MiB", b" " * (MAX_BODY_BYTES + 1), BATCH, {}, 413),
    ("an event over 256 KiB", EVENT | {"data": {"a": "x" * 2**18}}, STRUCTURED, {}, 413),
    ("no specversion in application/json", {"a": 1}, "application/json", {}, 422),
    ("binary without an id", {}, "application/json", {"ce-specversion": "1.0"}, 422),
    ("binary with text", b"x", "text/plain", {"ce-specversion": "1.0", "ce-id": "1"}, 422),
    (
        "binary, bad percent",
        {},
        "application/json",
        {"ce-specversion": "1.0", "ce-id": "%C0%A0"},
        422,
    ),
    ("binary, upper case", {}, "application/json", {"ce-specversion": "1.0", "ce-a_b": "x"}, 422),
]


@pytest.mark.parametrize(
    ("body", "kind", "headers", "status"), [row[1:] for row in HOSTILE], ids=[r[0] for r in HOSTILE]
)
async def test_hostile_requests_get_a_problem_and_write_nothing(
    door: Door, body: Any, kind: str | None, headers: dict[str, str], status: int
) -> None:
    answer = await door.post(body, kind, headers=headers)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"]
    assert await door.appended() == []


async def test_a_query_that_is_not_understood_is_refused(door: Door) -> None:
    answer = await door.post(EVENT, path="/v1/events?invalid=skip")
    assert answer.status_code == 422


async def test_only_post_is_taken_and_all_else_passes_on(door: Door) -> None:
    answer = await door.client.get("/v1/events")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert (await door.client.get("/v1/other")).text == "/v1/other"


async def test_keys_and_scopes(door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watched, "LOOK_SECONDS", 0.0)
    reader, hashed = mint_key("reader")
    file = tmp_path / "access.yaml"
    document = yaml.safe_load(file.read_text(encoding="utf-8"))
    document["keys"].append(
        {"id": "reader", "workspace": "acme", "hash": hashed, "scopes": ["customers:read"]}
    )
    file.write_text(yaml.safe_dump(document), encoding="utf-8")
    for key, status in (("", 401), ("awk_reader_wrong", 401), (reader, 403)):
        answer = await door.post(EVENT, headers={"authorization": f"Bearer {key}"})
        assert answer.status_code == status
    assert await door.appended() == []


@dataclass
class Held:
    """A producer whose acknowledgement waits until it is let go, or fails."""

    inner: Producer
    go: asyncio.Event = field(default_factory=asyncio.Event)
    waiting: int = 0
    failure: Exception | None = None

    async def send(self, records: Sequence[Outgoing]) -> Mapping[TopicPartition, int]:
        if self.failure:
            raise self.failure
        self.waiting += 1
        await self.go.wait()
        return await self.inner.send(records)


@pytest.mark.parametrize(
    ("failure", "status"),
    [(Unavailable("no broker"), 503), (Refused("too large", 0), 422), (ValueError("bug"), 500)],
)
async def test_no_acknowledgement_no_202(tmp_path: Path, failure: Exception, status: int) -> None:
    async with opened(tmp_path, lambda producer: Held(producer, failure=failure)) as door:
        answer = await door.post(EVENT)
    assert answer.status_code == status
    assert ("retry-after" in answer.headers) is (status == 503)
    assert answer.json()["instance"].startswith("/requests/")


async def test_overload_is_answered_at_once_and_passes(tmp_path: Path) -> None:
    held: list[Held] = []

    def wrap(producer: Producer) -> Producer:
        held.append(Held(producer))
        return held[0]

    async with opened(tmp_path, wrap, bound=20_000) as door:
        waiting = [asyncio.create_task(door.post(EVENT | {"id": str(n)})) for n in range(4)]

        async def all_wait() -> bool:
            return held[0].waiting == 4

        await eventually(all_wait, what="four requests waiting for the log")
        refused = await door.post(EVENT)
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "2")
        held[0].go.set()
        assert [answer.status_code for answer in await asyncio.gather(*waiting)] == [202] * 4
        assert (await door.post(EVENT)).status_code == 202
        assert len(await door.appended()) == 5
