"""The real trigger process with the log in front against the same database transactions run bare.

Half of the events concern no trigger, one in twenty is invited, the rest is suppressed by the trigger's condition.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import asyncpg

from bench.events import BOUGHT, VIEWED, encoded, purchase
from bench.measuring import busy_seconds, cpu_seconds, measured_core, others_share
from bench.recording import Bare, Recorded, recording, run_bare
from bench.results import Result
from bench.system import System, backends, open_system
from services.cli.dev import WORKSPACE
from services.trigger.invitations import Maker
from services.trigger.main import BATCH
from services.trigger.store.rulebooks import Rulebooks
from services.trigger.worker import Handlers
from shared.auth import Access
from shared.contracts.envelope import decode_transaction_event
from shared.contracts.keys import Key
from shared.contracts.partitioner import partition_of
from shared.contracts.topics import PARTITIONS, Topic
from shared.db import open_database
from shared.log import Log, Outgoing, Record
from shared.log.opening import open_log
from shared.tokens import KeyRing

ROUNDS = 3
GOAL = 0.7
EVENTS_PER_SECOND = 15_000
"""How many events a round has for each second that it should take."""
_DEADLINE_SECONDS = 120.0
_DEFINITIONS: dict[str, tuple[str, dict[str, Any]]] = {
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
}
_COUNTS = """
    SELECT 'seen ' || coalesce(outcome, 'decided'), count(*) FROM trigger.seen GROUP BY 1
    UNION ALL SELECT 'decisions ' || outcome || ' ' || coalesce(reason, ''), count(*) FROM trigger.decisions GROUP BY 1
    UNION ALL SELECT 'invitations ' || state, count(*) FROM trigger.invitations GROUP BY 1
    UNION ALL SELECT 'holds', count(*) FROM trigger.holds
    UNION ALL SELECT 'contacts', count(*) FROM trigger.contacts
"""


@dataclass(frozen=True)
class Sample:
    """The trigger process catching up: events handled between the first commit that was seen and the last."""

    events: int
    seconds: float
    cpu_seconds: float
    database_cpu_seconds: float
    others: float


def run(seconds: float) -> list[Result]:
    """Measure both by turns; `seconds` is about how long a round of the process lasts."""
    with open_system() as system:
        return asyncio.run(_run(system, int(EVENTS_PER_SECOND * seconds) // 20 * 20))


async def _run(system: System, events: int) -> list[Result]:
    _define(system)
    with_definitions = system.database_url
    recorder = system.server.create_database(with_definitions)
    bare = system.server.create_database(with_definitions)
    samples: list[Sample] = []
    plain: list[Bare] = []
    async with open_log(system.broker.url) as log:
        for number in range(ROUNDS):
            outgoing = _events(number * events, events)
            async with log.producer() as producer:
                for start in range(0, events, BATCH):
                    await producer.send(outgoing[start : start + BATCH])
            recorded = await _record(system, recorder, outgoing)
            with measured_core():
                plain.append(await run_bare(bare, "trigger", recorded))
            samples.append(await _catch_up(system, log, (number + 1) * events))
    counts = await _counted(system.database_url)
    expected = await _counted(bare)
    if counts != expected:
        raise RuntimeError(f"the process and the bare transactions differ: {counts} and {expected}")
    return _results(samples, plain, events, counts)


def _results(
    samples: Sequence[Sample], plain: Sequence[Bare], events: int, counts: Mapping[str, int]
) -> list[Result]:
    rates = [
        (s.events / s.seconds, events / b.seconds) for s, b in zip(samples, plain, strict=True)
    ]
    process = {
        "cpu_us_per_event": median(s.cpu_seconds / s.events for s in samples) * 1e6,
        "database_cpu_us_per_event": median(s.database_cpu_seconds / s.events for s in samples)
        * 1e6,
        "server_core": median(s.cpu_seconds / s.seconds for s in samples),
        "others_core": median(s.others for s in samples),
    }
    bare = {
        "cpu_us_per_event": median(b.cpu_seconds for b in plain) / events * 1e6,
        "database_cpu_us_per_event": median(b.database_cpu_seconds for b in plain) / events * 1e6,
    }
    return [
        Result(
            "trigger",
            "events to decisions, log in front",
            "events/s",
            median(rate for rate, _ in rates),
            median(rate for _, rate in rates),
            GOAL,
            notes={"process": process, "bare": bare, "rounds": rates, "rows": dict(counts)},
        ),
        Result(
            "trigger",
            "the same per second of CPU, database included",
            "events/s",
            1e6 / (process["cpu_us_per_event"] + process["database_cpu_us_per_event"]),
            1e6 / (bare["cpu_us_per_event"] + bare["database_cpu_us_per_event"]),
        ),
    ]


def _define(system: System) -> None:
    """Put the definitions through the real services and wait until trigger has its copy of the survey."""
    services = {name: system.serve(name) for name in ("ingest", "trigger")}
    for running in services.values():
        running.wait_until("/health/ready")
    for path, (service, document) in _DEFINITIONS.items():
        services[service].request("PUT", path, document)
    deadline = time.monotonic() + 30
    while services["trigger"].request("GET", "/v1/triggers/after-purchase")["unresolved"]:
        if time.monotonic() > deadline:
            raise RuntimeError("trigger did not get its copy of the survey")
        time.sleep(0.05)
    for running in services.values():
        running.end()


def _events(first: int, count: int) -> list[Outgoing]:
    """Of twenty events of a customer ten are of a type that nobody listens to, one invites, nine have no amount."""
    made = []
    for number in range(first, first + count):
        customer = f"customer-{number // 20}"
        place = number % 20
        event = purchase(
            number,
            customer=customer,
            type=VIEWED if place % 2 else BOUGHT,
            amount=129.5 if place == 0 else 0,
        )
        made.append(Outgoing(Topic.EVENTS, Key(WORKSPACE, customer).encode(), encoded(event)))
    return made


async def _record(system: System, url: str, outgoing: Sequence[Outgoing]) -> Recorded:
    """The transactions by which the service's own handler decides about these events, in whole batches."""
    environment = system.environment
    access = Access.load(Path(environment["AFTERWORD_ACCESS_FILE"]))
    maker = Maker(KeyRing.parse(environment["AFTERWORD_TOKEN_KEYS"]), "http://127.0.0.1:8000")
    await _be_fresh(url)
    async with open_database(url, "trigger") as database:
        database.gate = None
        handlers = Handlers(database, access, maker, Rulebooks())
        with recording(database) as transactions:
            for batch in _batches(outgoing):
                await handlers.events([decode_transaction_event(record) for record in batch])
    return transactions


def _batches(outgoing: Sequence[Outgoing]) -> list[list[Record]]:
    """What a consumer would be given: batches of one partition each, in order."""
    now_ms = int(time.time() * 1000)
    lanes: dict[int, list[Record]] = defaultdict(list)
    for out in outgoing:
        lane = lanes[partition_of(out.key, PARTITIONS)]
        lane.append(Record(out.topic, 0, len(lane), out.key, out.value, (), now_ms))
    return [lane[at : at + BATCH] for lane in lanes.values() for at in range(0, len(lane), BATCH)]


async def _catch_up(system: System, log: Log, expected: int) -> Sample:
    """Start the process on what waits in the log, and measure it until nothing does."""
    await _be_fresh(system.database_url)
    before = await _handled(log)
    running = system.serve("trigger")
    deadline = time.monotonic() + _DEADLINE_SECONDS
    first: tuple[int, float, float, float, dict[int, float]] | None = None
    while True:
        handled = await _handled(log)
        at, spent, busy = time.perf_counter(), cpu_seconds(running.pid), busy_seconds()
        if first is None and handled > before:
            first = handled, at, spent, busy, await backends(system.database_url, "trigger")
        if first is not None and handled >= expected:
            break
        if time.monotonic() > deadline or not running.process.running:
            raise RuntimeError(
                f"trigger did not catch up ({handled}): {running.process.said[-2000:]}"
            )
        await asyncio.sleep(0.02)
    spent_by = await backends(system.database_url, "trigger")
    running.end()
    database = sum(spent - first[4].get(pid, 0.0) for pid, spent in spent_by.items())
    seconds, own = at - first[1], spent - first[2]
    return Sample(
        handled - first[0], seconds, own, database, others_share(busy - first[3], own, seconds)
    )


async def _handled(log: Log) -> int:
    """How many events the group has committed, over all partitions."""
    lag = await log.lag("trigger", [Topic.EVENTS])
    return sum(each.committed or 0 for each in lag.values())


async def _be_fresh(url: str) -> None:
    """Say that the customers have just been read, as the process does for itself; else decisions wait for it."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("UPDATE trigger.freshness SET read_up_to = now()")
    finally:
        await connection.close()


async def _counted(url: str) -> dict[str, int]:
    connection = await asyncpg.connect(url)
    try:
        return {row[0]: row[1] for row in await connection.fetch(_COUNTS)}
    finally:
        await connection.close()
