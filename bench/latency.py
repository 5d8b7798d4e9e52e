"""How long a purchase takes to become an invitation, and an answer a score and a webhook, at a steady rate.

The load is open: it does not wait for what it measures. All times are of this machine's one clock: the client's for
what is posted, the broker's for invitations, the receiver's for webhooks.
"""

import asyncio
import json
import os
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import aiohttp
import asyncpg
import uvloop

from bench.flow import METRIC, STORES, Invited, cost, held, listening, post, start
from bench.measuring import other_cores
from bench.receiver import Receiver, receiving
from bench.results import Result
from bench.system import Running, System, open_system

RATE = int(os.environ.get("BENCH_RATE", "20"))
"""Purchases in a second, all of which invite and are answered. At half load the services have half a core between
them: the notes say what each had."""
STRETCHES = 6
_WARM_SECONDS = 2.0
_READING_SECONDS = 1.0
"""How long a customer looks at the page before answering."""
_POLL_SECONDS = 0.02
_PATIENCE_SECONDS = 30.0
_COUNTED = """
    SELECT dimensions ->> 'org', sum(n)::int FROM scoring.cells WHERE metric = $1 GROUP BY 1
"""
GOALS = {"event to invitation": 250.0, "answer to webhook": 500.0, "answer to score": None}


@dataclass
class Seen:
    """When each thing was seen: what is posted by event, scores by store in the order in which they were."""

    accepted: dict[str, float] = field(default_factory=dict)
    answered: dict[str, float] = field(default_factory=dict)
    scored: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))


def run(seconds: float) -> list[Result]:
    """Measure for six stretches of `seconds`, so that there are some hundreds of samples."""
    with open_system() as system, other_cores():
        return uvloop.run(_run(system, STRETCHES * seconds))


async def _run(system: System, seconds: float) -> list[Result]:
    warm, count = int(RATE * _WARM_SECONDS), int(RATE * seconds)
    seen = Seen()
    async with (
        receiving(1) as receiver,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session,
    ):
        services = start(system, receiver=receiver.url(0), pinned=True)
        async with listening(system.broker.url) as invited, asyncio.TaskGroup() as group:
            poll = group.create_task(_poll(system.database_url, seen))
            group.create_task(_answer(session, services["ingest"], invited, seen, warm + count))
            began = time.perf_counter()
            spent = await cost(system, services)
            for number in range(warm + count):
                await asyncio.sleep(max(0.0, began + number / RATE - time.perf_counter()))
                group.create_task(_buy(session, services["ingest"], number, seen))
            await _arrived(receiver, seen, warm + count)
            took = time.perf_counter() - began
            spent = {k: v - spent[k] for k, v in (await cost(system, services)).items()}
            poll.cancel()
        _check_scores(services["scoring"], warm + count)
        told = _told(receiver)
        notes = held(services)
    notes |= {f"{name}_core": seconds / took for name, seconds in spent.items()}
    waits = _waits(seen, invited.at, told, warm)
    return [
        result
        for name, goal in GOALS.items()
        for result in _results(name, waits[name], goal, notes)
    ]


async def _buy(session: aiohttp.ClientSession, ingest: Running, number: int, seen: Seen) -> None:
    seen.accepted[f"order-{number}"] = await post(session, ingest, number)


async def _answer(
    session: aiohttp.ClientSession, ingest: Running, invited: Invited, seen: Seen, count: int
) -> None:
    """Have each invited customer answer after a while, unhappily."""
    async with asyncio.TaskGroup() as group:
        for _ in range(count):
            event = await invited.fresh.get()
            path = urlsplit(invited.links[event]).path
            group.create_task(_answer_one(session, ingest, path, event, seen))


async def _answer_one(
    session: aiohttp.ClientSession, ingest: Running, path: str, event: str, seen: Seen
) -> None:
    await asyncio.sleep(_READING_SECONDS)
    seen.answered[event] = time.time()
    url = f"http://127.0.0.1:{ingest.port}{path}"
    async with session.post(url, data={"recommend": "3"}, allow_redirects=False) as answer:
        if answer.status != 303:
            said = ingest.process.said[-2000:]
            raise RuntimeError(f"the answer about {event} was answered {answer.status}: {said}")


async def _poll(url: str, seen: Seen) -> None:
    """Look at what scoring has committed by store, again and again; each answer more of a store is seen now.

    It is what GET /v1/scores would add up, read without a request to the core that is measured.
    """
    connection = await asyncpg.connect(url)
    try:
        counted = await connection.prepare(_COUNTED)
        while True:
            await asyncio.sleep(_POLL_SECONDS)
            rows = await counted.fetch(METRIC)
            at = time.time()
            for store, n in rows:
                times = seen.scored[store]
                times += [at] * (n - len(times))
    finally:
        await connection.close()


def _check_scores(scoring: Running, count: int) -> None:
    """The service itself must say of all answers what was seen of them."""
    items = scoring.request("GET", f"/v1/scores?metric={METRIC}")["items"]
    if [item["n"] for item in items] != [count]:
        raise RuntimeError(f"{count} answers are scored as {items}")


async def _arrived(receiver: Receiver, seen: Seen, count: int) -> None:
    """Wait until every answer has been told and counted."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while min(len(receiver.arrivals), sum(map(len, seen.scored.values()))) < count:
        if time.monotonic() > deadline:
            scored = sum(map(len, seen.scored.values()))
            raise RuntimeError(
                f"of {count} events {len(seen.accepted)} were accepted, {len(seen.answered)} answered,"
                f" {scored} counted and {len(receiver.arrivals)} told"
            )
        await asyncio.sleep(_POLL_SECONDS)


def _told(receiver: Receiver) -> dict[str, float]:
    """When the webhook about each event came."""
    told = {}
    for arrival in receiver.arrivals:
        event = json.loads(arrival.body)["data"]["transaction"]["id"]
        if event in told:
            raise RuntimeError(f"the webhook about {event} came twice")
        told[event] = arrival.at
    return told


def _waits(
    seen: Seen, invited: Mapping[str, float], told: Mapping[str, float], warm: int
) -> dict[str, list[float]]:
    """The milliseconds between the steps, without those of the warm-up.

    The answers of one store are far enough apart to be counted in the order in which they were given.
    """
    events = [event for event in seen.accepted if int(event.partition("-")[2]) >= warm]
    by_store: dict[str, list[tuple[float, str]]] = defaultdict(list)
    for event, at in seen.answered.items():
        by_store[f"store-{int(event.partition('-')[2]) % STORES}"].append((at, event))
    scored = {
        event: at
        for store, answers in by_store.items()
        for (_, event), at in zip(sorted(answers), seen.scored[store], strict=True)
    }
    pairs = {
        "event to invitation": (seen.accepted, invited),
        "answer to score": (seen.answered, scored),
        "answer to webhook": (seen.answered, told),
    }
    return {
        name: sorted(1e3 * max(0.0, after[event] - before[event]) for event in events)
        for name, (before, after) in pairs.items()
    }


def _results(
    name: str, waits: list[float], goal: float | None, notes: dict[str, float]
) -> list[Result]:
    p50, p99 = waits[len(waits) // 2], waits[len(waits) * 99 // 100]
    at_rate = f"{name}, {RATE} a second"
    own = {"samples": len(waits), "largest_ms": waits[-1], **notes}
    return [
        Result("latency", f"{at_rate}, p50", "ms", p50),
        Result("latency", f"{at_rate}, p99", "ms", p99, goal=goal, at_most=True, notes=own),
    ]
