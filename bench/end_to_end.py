"""Purchases posted in batches until ingest has every invitation: all four services, broker and database on one machine.

Nothing is pinned: how the cores are shared is part of what is measured.
"""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median

import aiohttp
import asyncpg
import uvloop

from bench.flow import cost, held, post, start
from bench.results import Result
from bench.system import Running, System, open_system
from shared.contracts.topics import Topic
from shared.log import Log
from shared.log.opening import open_log

ROUNDS = 3
GOAL = 1_000.0
PER_SECOND = 500
"""How many events a round has for each second that it should take."""
BATCH = 100
_SENDERS = 4
_DEADLINE_SECONDS = 120.0
_COUNTS = """
    SELECT (SELECT count(*) FROM trigger.invitations WHERE state = 'sent') AS invited,
        (SELECT count(*) FROM ingest.invitations WHERE document IS NOT NULL) AS copied
"""


@dataclass(frozen=True)
class Sample:
    """One round: between the first request and the last copy committed."""

    events: int
    seconds: float
    cpu_seconds: Mapping[str, float]


def run(seconds: float) -> list[Result]:
    """Post three rounds of events, each when the last has gone all the way."""
    with open_system() as system:
        return uvloop.run(_run(system, int(PER_SECOND * seconds) // BATCH * BATCH))


async def _run(system: System, events: int) -> list[Result]:
    services = start(system, receiver=None, pinned=False)
    async with open_log(system.broker.url) as log, aiohttp.ClientSession() as session:
        samples = [
            await _round(system, services, log, session, number * events, events)
            for number in range(ROUNDS)
        ]
    connection = await asyncpg.connect(system.database_url)
    try:
        counts = dict(await connection.fetchrow(_COUNTS))
    finally:
        await connection.close()
    if counts != {"invited": ROUNDS * events, "copied": ROUNDS * events}:
        raise RuntimeError(f"of {ROUNDS * events} events came {counts}")
    return _results(samples, held(services))


async def _round(
    system: System,
    services: Mapping[str, Running],
    log: Log,
    session: aiohttp.ClientSession,
    first: int,
    count: int,
) -> Sample:
    before = await cost(system, services)
    began = time.perf_counter()
    batches = iter(range(first, first + count, BATCH))

    async def send() -> None:
        for at in batches:
            await post(session, services["ingest"], at, BATCH)

    await asyncio.gather(*(send() for _ in range(_SENDERS)))
    deadline = time.monotonic() + _DEADLINE_SECONDS
    while await _copied(log) < first + count:
        if time.monotonic() > deadline:
            raise RuntimeError(f"{first + count - await _copied(log)} invitations are missing")
        await asyncio.sleep(0.05)
    seconds = time.perf_counter() - began
    after = await cost(system, services)
    return Sample(count, seconds, {name: after[name] - before[name] for name in after})


async def _copied(log: Log) -> int:
    """How many invitations ingest has committed, over all partitions."""
    lag = await log.lag("ingest", [Topic.INVITATIONS])
    return sum(each.committed or 0 for each in lag.values())


def _results(samples: list[Sample], memory: Mapping[str, float]) -> list[Result]:
    per_event = {
        f"{name}_us_per_event": median(s.cpu_seconds[name] / s.events for s in samples) * 1e6
        for name in samples[0].cpu_seconds
    }
    rates = [sample.events / sample.seconds for sample in samples]
    return [
        Result(
            "end-to-end",
            "events posted to invitations copied, all inviting",
            "events/s",
            median(rates),
            goal=GOAL,
            at_least=True,
            notes={"rounds": rates, **per_event, **memory},
        )
    ]
