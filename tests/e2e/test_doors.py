"""Every door an event may come by, and several replicas behind them: a transaction is asked about once."""

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest
from cloudevents.core.bindings.http import to_binary, to_structured
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from deploy.local.kafka import KafkaBroker
from deploy.local.postgres import PostgresServer
from shared.log.opening import open_log
from tests.e2e import scenario
from tests.e2e.system import Client, System, distributed
from tests.support import eventually

pytestmark = [pytest.mark.kafka, pytest.mark.postgres, pytest.mark.timeout(180)]

INLET = "acme.transactions"


@pytest.fixture(scope="module")
def replicated(
    kafka_broker: KafkaBroker,
    postgres_server: PostgresServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[System, str]]:
    """Two replicas of ingest and of trigger, an inlet for the workspace acme, and the prefix of its topics."""
    prefix = f"{uuid4().hex[:8]}."
    made = distributed(
        tmp_path_factory.mktemp("doors"),
        log_url=f"{kafka_broker.url}?prefix={prefix}&session_timeout=6",
        database_url=postgres_server.create_database(),
        workspaces={"acme": {"inlets": [INLET]}, "other": {}},
        replicas={"ingest": 2, "trigger": 2},
    )
    with made.running():
        yield made, prefix


@pytest.fixture
async def client(replicated: tuple[System, str]) -> AsyncIterator[Client]:
    async with replicated[0].client("acme") as opened:
        await scenario.define(opened)
        yield opened


def produce(broker: KafkaBroker, topic: str, *lines: str, options: tuple[str, ...] = ()) -> None:
    """Write lines with Kafka's own console producer."""
    text = "".join(f"{line}\n" for line in lines)
    subprocess.run(
        broker.console_producer(topic, *options),
        input=text.encode(),
        check=True,
        timeout=60,
        capture_output=True,
    )


async def consume(
    replicated: tuple[System, str], broker: KafkaBroker, topic: str
) -> list[tuple[str, dict[str, Any]]]:
    """Read what stands in a topic with Kafka's own console consumer: key and JSON value of each record."""
    system, prefix = replicated
    async with open_log(system.environment["AFTERWORD_LOG_URL"]) as log:
        lags = await log.lag("nobody", [topic])
    count = sum(lag.end - lag.start for lag in lags.values())
    if not count:
        return []
    options = ("--from-beginning", "--max-messages", str(count), "--timeout-ms", "30000")
    command = broker.console_consumer(
        prefix + topic, *options, "--formatter-property", "print.key=true"
    )
    done = await asyncio.to_thread(
        subprocess.run, command, check=False, timeout=90, capture_output=True
    )
    lines = [line.partition("\t") for line in done.stdout.decode().splitlines() if "\t" in line]
    return [(key, json.loads(value)) for key, _, value in lines]


async def test_the_same_event_by_three_doors_and_two_replicas_asks_once(
    replicated: tuple[System, str], client: Client, kafka_broker: KafkaBroker
) -> None:
    system, prefix = replicated
    event = scenario.purchase(1, "three-doors")
    second = system.processes["ingest-2"].url
    headers = {"content-type": "application/cloudevents+json"}
    answers = await asyncio.gather(
        client.post("/v1/events", json=event, headers=headers),
        client.post("/v1/events", json=event, headers=headers),
        client.post(f"{second}/v1/events", json=event, headers=headers),
        asyncio.to_thread(produce, kafka_broker, prefix + INLET, json.dumps(event)),
    )
    assert [answer.status_code for answer in answers[:3] if answer is not None] == [202] * 3

    async def arrived() -> bool:
        keys = [key for key, _ in await consume(replicated, kafka_broker, "events")]
        return keys.count("acme/three-doors") == 4

    await eventually(arrived, seconds=60, what="the event in the log four times")
    assert len(await scenario.decisions(client, event)) == 1
    assert len(await scenario.invitations(client, event)) == 1
    kept = [
        value
        for key, value in await consume(replicated, kafka_broker, "invitations")
        if key == "acme/three-doors"
    ]
    assert {value["data"]["id"] for value in kept} == {kept[0]["data"]["id"]}
    assert kept[0]["type"] == "afterword.invitation.changed"


async def test_what_is_no_event_on_an_inlet_is_a_dead_letter_of_its_workspace(
    replicated: tuple[System, str], client: Client, kafka_broker: KafkaBroker
) -> None:
    system, prefix = replicated
    good = scenario.purchase(2, "after-poison")
    await asyncio.to_thread(produce, kafka_broker, prefix + INLET, "{not json", json.dumps(good))
    assert (await scenario.decisions(client, good))[0]["outcome"] == "invited"

    async def listed() -> list[dict[str, Any]]:
        answer = await client.get("/v1/operations/ingest/dead-letters")
        items: list[dict[str, Any]] = answer.json()["items"]
        return items

    (letter,) = await eventually(listed, what="the dead letter")
    assert letter["topic"] == INLET
    assert "undecodable" in letter["reason"]
    shown = (await client.get(f"/v1/operations/ingest/dead-letters/{letter['id']}")).json()
    assert shown["value"] == "{not json"
    async with system.client("other") as other:
        assert (await other.get("/v1/operations/ingest/dead-letters")).json()["items"] == []
        assert (
            await other.get(f"/v1/operations/ingest/dead-letters/{letter['id']}")
        ).status_code == 404


async def test_a_poison_event_is_explained_and_its_customer_goes_on(
    replicated: tuple[System, str], client: Client, kafka_broker: KafkaBroker
) -> None:
    """Nobody but us writes to `events`; should something unreadable stand there all the same, it is not lost."""
    _, prefix = replicated
    poison = {"specversion": "1.0", "id": "poison-1", "source": "/shop", "subject": "poison"}
    await asyncio.to_thread(
        produce,
        kafka_broker,
        prefix + "events",
        f"acme/poison\t{json.dumps(poison)}",
        options=("--reader-property", "parse.key=true"),
    )
    good = scenario.purchase(3, "poison")
    assert (await scenario.post_event(client, good)).status_code == 202
    assert (await scenario.decisions(client, good))[0]["outcome"] == "invited"
    (decision,) = await scenario.decisions(client, poison)
    assert decision["outcome"] == "dead_lettered"
    assert "among the dead letters" in decision["why"]
    assert "`type`" in decision["why"]
    (letter,) = (await client.get("/v1/operations/trigger/dead-letters")).json()["items"]
    assert letter["topic"] == "events"
    replayed = await client.post(f"/v1/operations/trigger/dead-letters/{letter['id']}/replay")
    assert replayed.status_code == 409


async def test_the_cloudevents_library_posts_unchanged(client: Client) -> None:
    for number, write in ((10, to_structured), (11, to_binary)):
        attributes = scenario.purchase(number, f"library-{number}")
        data = attributes.pop("data")
        message = write(
            CloudEvent(attributes | {"datacontenttype": "application/json"}, data), JSONFormat()
        )
        answer = await client.post("/v1/events", content=message.body, headers=message.headers)
        assert answer.status_code == 202, answer.text
        event = {"source": "/shop", "id": f"p-{number}"}
        assert (await scenario.decisions(client, event))[0]["outcome"] == "invited"


async def test_fifty_events_of_one_customer_at_once_are_one_invitation(
    replicated: tuple[System, str], client: Client
) -> None:
    system, _ = replicated
    second = system.processes["ingest-2"].url
    events = [scenario.purchase(100 + i, "busy") for i in range(50)]
    headers = {"content-type": "application/cloudevents+json"}
    doors = ["/v1/events", f"{second}/v1/events"]
    answers = await asyncio.gather(
        *(client.post(doors[i % 2], json=event, headers=headers) for i, event in enumerate(events))
    )
    assert {answer.status_code for answer in answers} == {202}
    outcomes = [(await scenario.decisions(client, event))[0] for event in events]
    assert sorted(decision["outcome"] for decision in outcomes) == ["invited"] + ["suppressed"] * 49
    assert {d["reason"] for d in outcomes if d["outcome"] == "suppressed"} == {"contact_policy"}


async def test_a_rolling_restart_fails_no_accepted_request(
    replicated: tuple[System, str], client: Client
) -> None:
    """SIGTERM under load: what was accepted is finished; what is refused was never begun."""
    system, _ = replicated
    ingest = system.processes["ingest"]
    accepted: list[dict[str, Any]] = []
    refused = 0
    stopping = asyncio.Event()

    async def send(sender: int) -> None:
        nonlocal refused
        for number in range(10_000):
            if stopping.is_set():
                return
            event = scenario.purchase(0, f"roll-{sender}-{number}") | {
                "id": f"roll-{sender}-{number}"
            }
            event["data"] = event["data"] | {"order_no": event["id"]}
            try:
                answer = await scenario.post_event(client, event)
            except (httpx.ConnectError, httpx.RemoteProtocolError, httpx.ReadError):
                refused += 1
                await asyncio.sleep(0.05)
                continue
            assert answer.status_code == 202, answer.text
            accepted.append(event)

    senders = [asyncio.create_task(send(i)) for i in range(4)]
    try:
        for _ in range(2):
            code = await asyncio.to_thread(ingest.end)
            assert code == 0, ingest.log.read_text()[-2000:]
            ingest.start()
            await asyncio.to_thread(system.wait_until_ready, "ingest")
    finally:
        stopping.set()
        await asyncio.gather(*senders)
    assert accepted
    for event in accepted[-50:]:
        assert (await scenario.decisions(client, event))[0]["outcome"] == "invited"
