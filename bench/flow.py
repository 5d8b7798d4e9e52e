"""The whole system as a shop sees it: four processes, the definitions of one survey, and what the log says of it."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp

from bench.events import BOUGHT, encoded, purchase
from bench.measuring import cpu_seconds, memory
from bench.system import KEY, Running, System, backends
from services.cli.paths import SERVICES
from shared.contracts.envelope import decode_message
from shared.contracts.messages import InvitationChanged
from shared.contracts.topics import Topic
from shared.log import Consumer
from shared.log.opening import open_log

METRIC = "purchase.recommend"
STORES = 50
_DEFINITIONS = {
    "/v1/surveys/purchase": (
        "ingest",
        {
            "title": {"en": "Your purchase"},
            "questions": [{"id": "recommend", "kind": "nps", "text": {"en": "Recommend?"}}],
        },
    ),
    "/v1/triggers/after-purchase": (
        "trigger",
        {
            "on": BOUGHT,
            "when": {"path": "data.amount", "gt": 0},
            "transaction": "data.order_no",
            "survey": "purchase",
            "dimensions": {"org": "data.store", "product": "data.product"},
        },
    ),
    "/v1/alert-rules/unhappy": (
        "alerting",
        {"about": "response", "when": {"path": "answers.recommend", "lte": 6}},
    ),
}


@dataclass
class Invited:
    """What the log says of invitations: by event, when the first was appended, and its link."""

    at: dict[str, float] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    fresh: asyncio.Queue[str] = field(default_factory=asyncio.Queue)


def start(system: System, *, receiver: str | None, pinned: bool) -> dict[str, Running]:
    """Start the four services with the definitions in force; alerts go to the receiver, if there is one."""
    services = {name: system.serve(name, pinned=pinned) for name in SERVICES}
    for running in services.values():
        running.wait_until("/health/ready")
    for path, (service, document) in _DEFINITIONS.items():
        services[service].request("PUT", path, document)
    if receiver is not None:
        services["alerting"].request("PUT", "/v1/endpoints/crm", {"url": receiver})
    deadline = time.monotonic() + 30
    while services["trigger"].request("GET", "/v1/triggers/after-purchase")["unresolved"]:
        if time.monotonic() > deadline:
            raise RuntimeError("trigger did not get its copy of the survey")
        time.sleep(0.05)
    return services


@asynccontextmanager
async def listening(url: str) -> AsyncIterator[Invited]:
    """Read the topic of the invitations from now until the context ends."""
    invited = Invited()
    async with open_log(url) as log, log.consumer("bench", [Topic.INVITATIONS]) as consumer:
        task = asyncio.create_task(_listen(consumer, invited))
        try:
            deadline = time.monotonic() + 30
            while not consumer.joined():
                if time.monotonic() > deadline:
                    raise RuntimeError("the log gave no partition of the invitations")
                await asyncio.sleep(0.01)
            yield invited
        finally:
            task.cancel()


async def _listen(consumer: Consumer, invited: Invited) -> None:
    while True:
        fetched = await consumer.fetch(max_records=1_000, timeout_seconds=1.0)
        for records in fetched.values():
            for record in records:
                received = decode_message(record)
                assert received is not None
                message = received.message
                assert isinstance(message, InvitationChanged)
                event = message.transaction.id
                if message.revision == 1 and event in invited.at:
                    raise RuntimeError(f"{event} was invited twice")
                if message.revision == 1:
                    invited.at[event] = record.timestamp_ms / 1e3
                    invited.links[event] = message.link
                    invited.fresh.put_nowait(event)


async def post(
    session: aiohttp.ClientSession, ingest: Running, first: int, count: int = 1
) -> float:
    """Post purchases that all invite, in one request; the time of the 202."""
    events = [purchase(n, customer=f"customer-{n}") for n in range(first, first + count)]
    for number, event in enumerate(events, first):
        event["data"]["store"] = f"store-{number % STORES}"
    kind = "cloudevents" if count == 1 else "cloudevents-batch"
    async with session.post(
        f"http://127.0.0.1:{ingest.port}/v1/events",
        data=encoded(events[0] if count == 1 else events),
        headers={"authorization": f"Bearer {KEY}", "content-type": f"application/{kind}+json"},
    ) as answer:
        if answer.status != 202:
            raise RuntimeError(f"events were answered {answer.status}: {await answer.text()}")
        return time.time()


async def cost(system: System, services: Mapping[str, Running]) -> dict[str, float]:
    """The CPU time so far of each service, and of the database for all of them."""
    spent = {name: cpu_seconds(running.pid) for name, running in services.items()}
    for name in services:
        of_database = await backends(system.database_url, name)
        spent["database"] = spent.get("database", 0.0) + sum(of_database.values())
    return spent


def held(services: Mapping[str, Running]) -> dict[str, float]:
    """The resident memory of each service."""
    return {f"{name}_rss_mb": memory(running.pid).rss for name, running in services.items()}
