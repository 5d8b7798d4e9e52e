"""Kill -9 at each step of each hop, on real Kafka and PostgreSQL: nothing accepted is lost, nothing done twice."""

import asyncio
import functools
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
import pytest
import pytest_asyncio

from deploy.local.kafka import KafkaBroker
from deploy.local.postgres import PostgresServer
from services.cli.paths import SERVICES
from shared.crash import Point
from tests.e2e import scenario
from tests.e2e.receiver import Receiver, open_receiver
from tests.e2e.system import Client, System, distributed
from tests.support import eventually

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.postgres,
    pytest.mark.timeout(240),
    pytest.mark.asyncio(loop_scope="module"),
]

ROUNDS: dict[str, dict[str, Point]] = {
    "accepted-and-not-stored": {
        "ingest": Point.INTAKE_AFTER_APPEND,
        "trigger": Point.WORKER_BEFORE_COMMIT,
        "scoring": Point.WORKER_BEFORE_COMMIT,
        "alerting": Point.WORKER_BEFORE_COMMIT,
    },
    "stored-and-read-again": {
        "ingest": Point.WORKER_BEFORE_COMMIT,
        "trigger": Point.WORKER_AFTER_COMMIT,
        "scoring": Point.WORKER_AFTER_COMMIT,
        "alerting": Point.WORKER_AFTER_COMMIT,
    },
    "published-and-still-in-the-outbox": {
        "ingest": Point.RELAY_AFTER_PUBLISH,
        "trigger": Point.RELAY_AFTER_PUBLISH,
        "alerting": Point.RELAY_AFTER_PUBLISH,
    },
    "claimed-and-not-sent": {
        "trigger": Point.SENDER_AFTER_CLAIM,
        "alerting": Point.DISPATCH_AFTER_CLAIM,
    },
    "sent-and-not-recorded": {
        "trigger": Point.SENDER_AFTER_SEND,
        "alerting": Point.DISPATCH_AFTER_SEND,
    },
}
CUSTOMERS = 12
IMPATIENT = {
    "AFTERWORD_RELAY_LEASE_SECONDS": "4",
    "AFTERWORD_DELIVERY_TIMEOUT_SECONDS": "2",
    "AFTERWORD_DELIVERY_LEASE_SECONDS": "9",
    "AFTERWORD_SEND_TIMEOUT_SECONDS": "2",
}


@dataclass
class Running:
    """A running system with its client, and where its webhooks arrive."""

    system: System
    client: Client
    receiver: Receiver

    async def restart(self, crash_at: Mapping[str, Point] | Mapping[str, None]) -> None:
        """End what runs of these and start them, each with its own crash point or with none."""
        await asyncio.to_thread(self.system.end, *crash_at)
        for service, point in crash_at.items():
            self.system.processes[service].start(crash_at=point)
        await asyncio.to_thread(self.system.wait_until_ready, *crash_at)

    async def revive(self, service: str, point: Point) -> None:
        """What an orchestrator does: start the process that died again. It is killed while it has a crash point."""
        process = self.system.processes[service]

        async def died() -> bool:
            return not process.running()

        await eventually(died, seconds=60, what=f"the death of {service} at {point}")
        assert process.wait_for_exit() == -9, f"{service} was to be killed at {point}"
        await self.restart({service: None})

    async def items(self, path: str, **params: str) -> list[dict[str, Any]]:
        answer = await self.client.get(path, params=params)
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()["items"]
        return found

    async def counted(self) -> int:
        """How many responses the score counts."""
        scores = await self.items("/v1/scores", metric="purchase-nps.recommend")
        return scores[0]["n"] if scores else 0

    async def quiet(self) -> None:
        """Wait until nothing is under way. Looks twice: what has left one service may not have come to the next."""
        for _ in range(2):
            await eventually(self._is_quiet, seconds=90, every=0.1, what="the end of all work")

    async def _is_quiet(self) -> bool:
        for service in SERVICES:
            status = (await self.client.get(f"/v1/operations/{service}/status")).json()
            if status["database"]["outbox"]["waiting"] or any(status["log"]["lag"].values()):
                return False
        return not (
            await self.items("/v1/decisions", outcome="pending")
            or await self.items("/v1/invitations", state="sending")
            or await self.items("/v1/responses", state="parked")
            or await self.items("/v1/deliveries", state="pending")
        )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def module_running(
    kafka_broker: KafkaBroker,
    postgres_server: PostgresServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Running]:
    """One system for all the kills of this module; each round brings its own customers."""
    system = distributed(
        tmp_path_factory.mktemp("kills"),
        log_url=f"{kafka_broker.url}?prefix={uuid4().hex[:8]}.&session_timeout=3&send_timeout=3",
        database_url=postgres_server.create_database(),
        settings=IMPATIENT,
    )
    with system.running():
        async with open_receiver() as receiver, system.client() as client:
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
            yield Running(system, client, receiver)


@pytest_asyncio.fixture(loop_scope="module")
async def running(module_running: Running) -> Running:
    """Everything runs with no crash point, whatever an earlier round left behind, and is done with its work."""
    processes = module_running.system.processes
    left = {name: None for name, p in processes.items() if p.crash_at or not p.running()}
    if left:
        await module_running.restart(left)
    await module_running.quiet()
    return module_running


@pytest.mark.parametrize("killed", ROUNDS.values(), ids=ROUNDS)
async def test_kills_lose_nothing_and_repeat_nothing(
    running: Running, killed: dict[str, Point], request: pytest.FixtureRequest
) -> None:
    run = request.node.callspec.id
    customers = [f"{run}-{i}" for i in range(CUSTOMERS)]
    delivered = delivery(f"{run}-by-shop")
    before = await running.counted()
    await running.restart(killed)
    async with asyncio.TaskGroup() as orchestrator:
        for service, point in killed.items():
            orchestrator.create_task(running.revive(service, point))
        await insist(lambda: scenario.post_event(running.client, delivered), 202)
        await ask_and_answer(running.client, customers)
    await running.quiet()

    assert await joined(running, customers) == dict.fromkeys(customers, 1)
    assert await running.counted() == before + CUSTOMERS
    assert alerts(running.receiver, customers) == dict.fromkeys(customers, 1)
    (invitation,) = await scenario.invitations(running.client, delivered)
    assert invitation["state"] == "sent"
    assert links_handed(running.receiver, delivered) == {(invitation["id"], invitation["link"])}
    for service in SERVICES:
        assert await running.items(f"/v1/operations/{service}/dead-letters") == []


def delivery(customer: str) -> dict[str, Any]:
    """An event whose link is handed to the shop."""
    event = scenario.purchase(0, customer, order_no=None)
    return event | {"type": "shop.delivery.completed", "id": f"d-{customer}"}


async def insist(send: Callable[[], Awaitable[httpx.Response]], status: int) -> None:
    """Send until it is answered, as a client that must not lose its event does; a lost answer is *unknown*."""

    async def answered() -> bool:
        try:
            return (await send()).status_code == status
        except httpx.TransportError:
            return False

    await eventually(answered, seconds=60, every=0.1, what="an answer")


async def ask_and_answer(client: Client, customers: list[str]) -> None:
    """A purchase of each customer, answered through its link with a low score."""
    events = [
        scenario.purchase(0, customer, order_no=f"o-{customer}") | {"id": f"e-{customer}"}
        for customer in customers
    ]
    await insist(lambda: scenario.post_event(client, *events), 202)
    for event in events:

        async def invited(event: dict[str, Any] = event) -> list[dict[str, Any]]:
            try:
                return await scenario.invitations(client, event, wait="5s")
            except (httpx.TransportError, AssertionError):
                return []

        what = f"the invitation of {event['id']}"
        (invitation,) = await eventually(invited, seconds=60, every=0.1, what=what)
        form = {"recommend": "2", "comment": "slow"}
        await insist(functools.partial(client.post, invitation["link"], data=form), 303)


async def joined(running: Running, customers: list[str]) -> dict[str, int]:
    """How many responses each customer has."""
    return {
        customer: len(await running.items("/v1/responses", customer=customer))
        for customer in customers
    }


def alerts(receiver: Receiver, customers: list[str]) -> Counter[str]:
    """How many alerts arrived about each customer, by their ids; a repeated delivery is the same to the byte."""
    sent = {(each.headers["webhook-id"], each.body) for each in receiver.requests}
    assert len({id for id, _ in sent}) == len(sent), "one id came with different bodies"
    documents = [json.loads(body) for _, body in sent]
    about = (each["data"]["customer"]["id"] for each in documents if each["type"] == "alert.raised")
    return Counter(customer for customer in about if customer in customers)


def links_handed(receiver: Receiver, event: dict[str, Any]) -> set[tuple[str, str]]:
    """What was handed over of this event's customer, however often: the id of the call, and the link."""
    handed = [(each.headers["webhook-id"], json.loads(each.body)) for each in receiver.requests]
    return {
        (id, document["data"]["link"])
        for id, document in handed
        if document["data"]["customer"]["id"] == event["subject"]
    }
