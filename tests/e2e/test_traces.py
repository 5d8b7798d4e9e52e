"""One trace from the POST to the webhook, over the log and the outbox, on both stacks; and nothing in it of anybody."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.collector import Collector, Seen, open_collector
from tests.e2e import scenario
from tests.e2e.receiver import Receiver, Request
from tests.e2e.system import Client, distributed, embedded
from tests.support import eventually

TRACE, SPAN = "ab" * 16, "cd" * 8
SHORT = {"OTEL_BSP_SCHEDULE_DELAY": "100"}


@pytest.fixture
async def collector() -> AsyncIterator[Collector]:
    async with open_collector() as opened:
        yield opened


@pytest.fixture(
    params=[
        "embedded",
        pytest.param("distributed", marks=[pytest.mark.kafka, pytest.mark.postgres]),
    ]
)
async def client(
    request: pytest.FixtureRequest, tmp_path: Path, collector: Collector
) -> AsyncIterator[Client]:
    """The public API of a system that records every trace."""
    traced = {"AFTERWORD_TRACES_URL": collector.url, "AFTERWORD_TRACES_RATIO": "1", **SHORT}
    if request.param == "embedded":
        system = embedded(tmp_path)
        system.environment.update(traced)
    else:
        broker = request.getfixturevalue("kafka_broker")
        system = distributed(
            tmp_path,
            log_url=f"{broker.url}?prefix={uuid4().hex[:8]}.",
            database_url=request.getfixturevalue("postgres_url"),
            settings=traced,
        )
    with system.running():
        async with system.client() as opened:
            yield opened


async def test_a_trace_goes_from_the_post_to_the_webhook(
    client: Client, receiver: Receiver, collector: Collector
) -> None:
    await define(client, receiver)
    event = scenario.purchase(1, "customer-4711", mail="ann@secret.example", note="Ann Example")
    posted = await client.post(
        "/v1/events",
        json=event,
        headers={
            "content-type": "application/cloudevents+json",
            "traceparent": f"00-{TRACE}-{SPAN}-01",
        },
    )
    assert posted.status_code == 202
    asked = await webhook(receiver, 0)
    chain = await collector.chain("afterword-trigger", "POST", TRACE)
    assert told(chain) == [
        ("ingest", "POST /v1/events", 2),
        ("ingest", "send events", 4),
        ("trigger", "process events", 5),
        ("trigger", "POST", 3),
    ]
    assert chain[0].parent == SPAN
    assert asked.headers["traceparent"] == f"00-{TRACE}-{chain[-1].id}-01"
    assert chain[0].attributes == {
        "http.request.method": "POST",
        "http.route": "/v1/events",
        "http.response.status_code": 202,
    }
    chain = await collector.chain("afterword-ingest", "process invitations", TRACE)
    assert told(chain)[2:] == [
        ("trigger", "process events", 5),
        ("trigger", "send invitations", 4),
        ("ingest", "process invitations", 5),
    ]
    whole = await collector.chain("afterword-trigger", "process events batch")
    assert whole[0].links == (chain[2].id,)
    assert whole[0].id in chain[2].links
    (transaction,) = [span for span in collector.spans() if span.parent == whole[0].id]
    assert transaction.name == "transaction"

    (invitation,) = await scenario.invitations(client, event)
    answers = {"recommend": "3", "comment": "The queue was long."}
    answered = await client.post(invitation["link"], data=answers)
    assert answered.status_code == 303, answered.text
    alerted = await webhook(receiver, 1)
    chain = await collector.chain("afterword-alerting", "POST")
    assert told(chain) == [
        ("ingest", "POST /s/{token}", 2),
        ("ingest", "send responses", 4),
        ("alerting", "process responses", 5),
        ("alerting", "POST", 3),
    ]
    assert alerted.headers["traceparent"] == f"00-{chain[0].trace}-{chain[-1].id}-01"
    scored = await collector.chain("afterword-scoring", "process responses", chain[0].trace)
    assert scored[1] == chain[1]

    token = invitation["link"].rpartition("/")[2]
    assert len(token) > 20
    key = client.headers["authorization"].rpartition("_")[2]
    of_theirs = ["4711", "secret.example", "Ann Example", "queue", "o-1", "p-1", invitation["id"]]
    exported = b"".join(collector.bodies)
    assert [each for each in (token, key, "hooks", *of_theirs) if each.encode() in exported] == []


async def define(client: Client, receiver: Receiver) -> None:
    trigger: dict[str, Any] = scenario.DEFINITIONS["/v1/triggers/after-purchase"]
    await client.put("/v1/channels/crm", json={"type": "webhook", "url": receiver.url})
    await scenario.define(
        client,
        **{
            "/v1/endpoints/crm": {"url": receiver.url, "types": ["alert.*"]},
            "/v1/triggers/after-purchase": trigger
            | {"channel": "crm", "contact": {"email": "data.mail"}},
        },
    )


async def webhook(receiver: Receiver, number: int) -> Request:
    async def arrived() -> Request | None:
        return receiver.requests[number] if len(receiver.requests) > number else None

    return await eventually(arrived, what="the webhook")


def told(chain: list[Seen]) -> list[tuple[str, str, int]]:
    return [(span.service.removeprefix("afterword-"), span.name, span.kind) for span in chain]
