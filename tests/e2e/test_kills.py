"""Kill -9 at each step of each hop, on real Kafka and PostgreSQL: nothing accepted is lost, nothing done twice."""

import asyncio
import functools
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
import pytest

from deploy.local.kafka import KafkaBroker
from deploy.local.postgres import PostgresServer
from shared.crash import Point
from tests.e2e import scenario
from tests.e2e.receiver import Receiver, open_receiver
from tests.e2e.system import Client, System, distributed
from tests.support import eventually

pytestmark = [pytest.mark.kafka, pytest.mark.postgres, pytest.mark.timeout(240)]

CUSTOMERS = 12


@pytest.fixture(scope="module")
def running(
    kafka_broker: KafkaBroker,
    postgres_server: PostgresServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[System]:
    """One system for all the kills of this module; each kill brings its own customers."""
    directory = tmp_path_factory.mktemp("kills")
    log_url = f"{kafka_broker.url}?prefix={uuid4().hex[:8]}.&session_timeout=6&send_timeout=4"
    impatient = {
        "AFTERWORD_RELAY_LEASE_SECONDS": "8",
        "AFTERWORD_DELIVERY_TIMEOUT_SECONDS": "2",
        "AFTERWORD_DELIVERY_LEASE_SECONDS": "10",
        "AFTERWORD_SEND_TIMEOUT_SECONDS": "2",
    }
    system = distributed(
        directory,
        log_url=log_url,
        database_url=postgres_server.create_database(),
        settings=impatient,
    )
    with system.running():
        yield system


@dataclass
class Kill:
    """The running system with its client, and where its webhooks arrive."""

    system: System
    client: Client
    receiver: Receiver

    async def restart(self, service: str, *, crash_at: str | None = None) -> None:
        process = self.system.processes[service]
        if process.running():
            await asyncio.to_thread(process.end)
        process.start(crash_at=crash_at)
        await asyncio.to_thread(self.system.wait_until_ready, service)


@pytest.fixture
async def kill(running: System) -> AsyncIterator[Kill]:
    async with open_receiver() as receiver, running.client() as client:
        await scenario.define(
            client,
            **{
                "/v1/endpoints/crm": {"url": receiver.url},
                "/v1/channels/shop": {"type": "webhook", "url": receiver.url},
                "/v1/triggers/by-shop": {
                    "on": "shop.delivery.completed",
                    "survey": "purchase-nps",
                    "channel": "shop",
                },
            },
        )
        yield Kill(running, client, receiver)


async def insist(send: Callable[[], Awaitable[httpx.Response]], *statuses: int) -> httpx.Response:
    """Send until it is answered, as a client that must not lose its event does; a lost answer is *unknown*."""

    async def once() -> httpx.Response | None:
        try:
            answer = await send()
        except httpx.TransportError:
            return None
        return answer if answer.status_code in statuses else None

    return await eventually(once, seconds=60, every=0.1, what="an answer")


async def ask_and_answer(kill: Kill, run: str, score: int) -> list[str]:
    """Purchases of new customers, each answered once through its link; returns the customers."""
    customers = [f"{run}-{i}" for i in range(CUSTOMERS)]
    events = [scenario.purchase(0, customer) | {"id": f"e-{customer}"} for customer in customers]
    for event in events:
        event["data"] = event["data"] | {"order_no": f"o-{event['subject']}"}
    await insist(lambda: scenario.post_event(kill.client, *events), 202)
    for event in events:

        async def invited(event: dict[str, Any] = event) -> list[dict[str, Any]]:
            try:
                return await scenario.invitations(kill.client, event, wait="5s")
            except (httpx.TransportError, AssertionError):
                return []

        (invitation,) = await eventually(
            invited, seconds=60, what=f"the invitation of {event['id']}"
        )
        form = {"recommend": str(score), "comment": "slow"}
        await insist(functools.partial(kill.client.post, invitation["link"], data=form), 303)
    return customers


async def joined_once(kill: Kill, customers: list[str]) -> None:
    """Each customer has one response. A parked one has no customer yet: its invitation is still on its way."""
    once = Counter(dict.fromkeys(customers, 1))

    async def counted() -> Counter[str] | None:
        counts: Counter[str] = Counter()
        for customer in customers:
            answer = await kill.client.get("/v1/responses", params={"customer": customer})
            counts[customer] = len(answer.json()["items"])
        return counts if counts >= once else None

    assert await eventually(counted, seconds=60, what="joining the answers") == once


KILLS = [
    ("ingest", Point.INTAKE_AFTER_APPEND),
    ("ingest", Point.WORKER_BEFORE_COMMIT),
    ("ingest", Point.RELAY_AFTER_PUBLISH),
    ("trigger", Point.WORKER_BEFORE_COMMIT),
    ("trigger", Point.WORKER_AFTER_COMMIT),
    ("trigger", Point.RELAY_AFTER_PUBLISH),
    ("scoring", Point.WORKER_BEFORE_COMMIT),
    ("scoring", Point.WORKER_AFTER_COMMIT),
    ("alerting", Point.WORKER_BEFORE_COMMIT),
    ("alerting", Point.WORKER_AFTER_COMMIT),
    ("alerting", Point.RELAY_AFTER_PUBLISH),
    ("alerting", Point.DISPATCH_AFTER_CLAIM),
    ("alerting", Point.DISPATCH_AFTER_SEND),
]


@pytest.mark.parametrize(("service", "point"), KILLS, ids=[f"{s}-{p}" for s, p in KILLS])
async def test_a_kill_loses_nothing_and_repeats_nothing(
    kill: Kill, service: str, point: Point
) -> None:
    before = await n_of(kill)
    await kill.restart(service, crash_at=point)
    run = f"{service}-{point}".replace(".", "-")

    async def revive() -> None:
        """What an orchestrator does: start the process that died again."""
        code = await asyncio.to_thread(kill.system.processes[service].wait_for_exit, 60)
        assert code == -9, f"{service} was to be killed at {point}, and ended with {code}"
        await kill.restart(service)

    reviving = asyncio.create_task(revive())
    customers = await ask_and_answer(kill, run, score=2)
    await reviving

    await joined_once(kill, customers)
    score = await scenario.score_of(kill.client, before + CUSTOMERS)
    assert score["n"] == before + CUSTOMERS
    await alerted(kill, customers)
    assert await n_of(kill) == before + CUSTOMERS
    await nothing_is_dead(kill)


async def n_of(kill: Kill) -> int:
    """How many responses are counted by now."""
    items = (
        await kill.client.get("/v1/scores", params={"metric": "purchase-nps.recommend"})
    ).json()["items"]
    return items[0]["n"] if items else 0


async def alerted(kill: Kill, customers: list[str]) -> None:
    """Each customer's alert arrived, and all deliveries of one id carry the same body."""

    async def all_arrived() -> bool:
        arrived = {json.loads(body)["data"]["customer"]["id"] for _, body in kill.receiver.requests}
        return arrived >= set(customers)

    await eventually(all_arrived, seconds=90, what="the deliveries")
    bodies: dict[str, set[bytes]] = {}
    for headers, body in kill.receiver.requests:
        bodies.setdefault(headers["webhook-id"], set()).add(body)
    assert all(len(seen) == 1 for seen in bodies.values())
    ids = Counter(
        json.loads(next(iter(seen)))["data"]["customer"]["id"] for seen in bodies.values()
    )
    assert {customer: ids[customer] for customer in customers} == dict.fromkeys(customers, 1)


async def nothing_is_dead(kill: Kill) -> None:
    for service in ("ingest", "trigger", "scoring", "alerting"):
        letters = (await kill.client.get(f"/v1/operations/{service}/dead-letters")).json()["items"]
        assert letters == []


@pytest.mark.parametrize("point", [Point.SENDER_AFTER_CLAIM, Point.SENDER_AFTER_SEND])
async def test_a_link_is_handed_to_the_business_system_with_one_id(
    kill: Kill, point: Point
) -> None:
    await kill.restart("trigger", crash_at=point)
    customer = f"sender-{point}"
    event = scenario.purchase(0, customer, order_no=None) | {
        "type": "shop.delivery.completed",
        "id": f"d-{point}",
    }
    await insist(lambda: scenario.post_event(kill.client, event), 202)
    code = await asyncio.to_thread(kill.system.processes["trigger"].wait_for_exit, 60)
    assert code == -9
    await kill.restart("trigger")

    async def sent() -> dict[str, Any] | None:
        found = await scenario.invitations(kill.client, event, wait="1s")
        return found[0] if found and found[0]["state"] == "sent" else None

    invitation = await eventually(sent, seconds=90, what="the hand-over")
    handed = [
        (h["webhook-id"], body) for h, body in kill.receiver.requests if customer.encode() in body
    ]
    assert len(set(handed)) == 1
    assert invitation["link"].encode() in handed[0][1]
