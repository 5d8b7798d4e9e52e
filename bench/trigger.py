"""The real trigger process with the log in front against the same database transactions run bare."""

import asyncio
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg

from bench.catching_up import Rounds, Sample, batches, catch_up, same_rows
from bench.events import BOUGHT, PER_CUSTOMER, mixed
from bench.measuring import measured_core
from bench.recording import Recorded, recording, run_bare
from bench.results import Result
from bench.system import System, open_system
from services.trigger.invitations import Maker
from services.trigger.main import BATCH
from services.trigger.store.rulebooks import Rulebooks
from services.trigger.worker import Handlers
from shared.auth import Access
from shared.contracts.envelope import decode_transaction_event
from shared.contracts.topics import Topic
from shared.db import open_database
from shared.log import Log, Outgoing
from shared.log.opening import open_log
from shared.tokens import KeyRing

ROUNDS = 3
GOAL = 0.8
EVENTS_PER_SECOND = 15_000
"""How many events a round has for each second that it should take."""
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


def run(seconds: float) -> list[Result]:
    """Measure both by turns; `seconds` is about how long a round of the process lasts."""
    with open_system() as system:
        return asyncio.run(
            _run(system, int(EVENTS_PER_SECOND * seconds) // PER_CUSTOMER * PER_CUSTOMER)
        )


async def _run(system: System, events: int) -> list[Result]:
    define(system)
    with_definitions = system.database_url
    recorder = system.server.create_database(with_definitions)
    bare = system.server.create_database(with_definitions)
    rounds = Rounds(events)
    async with open_log(system.broker.url) as log:
        for number in range(ROUNDS):
            outgoing = mixed(number * events, events, "customer-{}".format)
            recorded = await _record(system, recorder, outgoing)
            with measured_core():
                rounds.bare.append(await run_bare(bare, "trigger", recorded))
            rounds.process.append(await decided(system, log, outgoing))
    rows = await same_rows(_COUNTS, system.database_url, bare)
    return rounds.results("trigger", "events to decisions, log in front", "events/s", GOAL, rows)


async def decided(
    system: System,
    log: Log,
    outgoing: Sequence[Outgoing],
    *,
    processes: int = 1,
    pinned: bool = True,
) -> Sample:
    """Have processes of trigger decide about these events."""
    return await catch_up(
        system,
        log,
        "trigger",
        Topic.EVENTS,
        outgoing,
        meanwhile=partial(_be_fresh, system.database_url),
        processes=processes,
        pinned=pinned,
    )


def define(system: System) -> None:
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
            for batch in batches(outgoing, BATCH):
                await handlers.events([decode_transaction_event(record) for record in batch])
    return transactions


async def _be_fresh(url: str) -> None:
    """Say that the customers have just been read, as the process does for itself; else decisions wait for it."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("UPDATE trigger.freshness SET read_up_to = now()")
    finally:
        await connection.close()
