"""Opens what every service stands on, and assembles its loops; a service's `main` stays a page."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import sqlalchemy as sa

from shared.auth import Access
from shared.contracts.topics import READERS
from shared.db import Database, open_database
from shared.errors import Unavailable
from shared.http.app import Health
from shared.http.serve import Work
from shared.leases import Lease
from shared.log import Consumer, Log, Producer, TopicPartition
from shared.measuring import Measuring, Overdue, nothing_due
from shared.outbox import Relay
from shared.positions import note
from shared.recovery import RECOVERING, Recovery, Restore
from shared.schema import Schema, refuse_wrong_schema, wait_for_schema
from shared.settings import Settings
from shared.telemetry import log as telemetry
from shared.tokens import KeyRing
from shared.tracing.messages import observed
from shared.watchdog import watch
from shared.worker import Subscription, Worker

_RETRY_SECONDS = 1.0


@dataclass(frozen=True)
class Tables:
    """The tables that every service has."""

    outbox: sa.Table
    leases: sa.Table
    positions: sa.Table


@dataclass
class Ground:
    """The resources of one service, open until its exit stack closes."""

    service: str
    settings: Settings
    access: Access
    keys: KeyRing
    log: Log
    producer: Producer
    database: Database
    tables: Tables
    stack: AsyncExitStack
    health: Health = field(default_factory=Health)
    work: list[Work] = field(default_factory=list)
    worker: Worker | None = None
    consumer: Consumer | None = None
    topics: tuple[str, ...] = ()
    opened: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once the database may be used: it fits this code, and is as new as the log or the log cannot be asked."""
    recovered: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once the database is as new as the log."""

    def once_opened(self, *work: Work) -> None:
        """Add loops that need the database alone."""
        self.work += [partial(_once, self.opened, each) for each in work]

    def once_recovered(self, *work: Work) -> None:
        """Add loops that must not act on a database which is older than the log."""
        self.work += [partial(_once, self.recovered, each) for each in work]


@asynccontextmanager
async def open_ground(
    settings: Settings,
    log: Log,
    access: Access,
    schema: Schema,
    tables: Tables,
    *,
    restores: Mapping[str, Restore] | None = None,
) -> AsyncIterator[Ground]:
    """Open the database and a producer. `restores` take over again what the service announced on its topics, should
    the database be older than that.

    Raises `StartupError` for a wrong setting or a schema that does not fit; a database or a broker that is down is
    waited for by the loops, not here.
    """
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(
            open_database(settings.database_url, schema.service, settings.database_ca_file)
        )
        producer = await stack.enter_async_context(log.producer())
        await refuse_wrong_schema(database, schema)
        keys = settings.key_ring()
        ground = Ground(
            schema.service, settings, access, keys, log, producer, database, tables, stack
        )
        recovery = Recovery(
            log,
            database.past_gate(),
            tables.positions,
            tables.leases,
            tables.outbox,
            READERS[schema.service],
            restores or {},
            tell=partial(setattr, ground.health, "restoring"),
        )
        ground.health.comparing = True
        ground.work.append(partial(_open_gate, ground, schema, recovery))
        yield ground


async def consume(
    ground: Ground, subscriptions: Mapping[str, Subscription], *, max_records: int = 1_000
) -> None:
    """Add the consumer loop over these topics, and the watchdog over the loop."""
    topics = tuple(subscriptions)
    group = ground.service

    async def note_passed(ends: Mapping[TopicPartition, int]) -> None:
        async with ground.database.begin() as tx:
            await note(tx, ground.tables.positions, ends)

    consumer = await ground.stack.enter_async_context(ground.log.consumer(group, topics))
    handled = {topic: observed(group, topic, one) for topic, one in subscriptions.items()}
    worker = Worker(group, consumer, ground.producer, handled, note_passed, max_records=max_records)
    ground.worker, ground.consumer, ground.topics = worker, consumer, topics

    async def watchdog(stop: asyncio.Event) -> None:
        await watch(ground.log, consumer, worker.status, group=group, topics=topics, stop=stop)

    ground.once_recovered(worker.run, watchdog)


def relay(ground: Ground, *, overdue: Overdue = nothing_due) -> None:
    """Add the relay that publishes the service's outbox, and what measures all that waits; after `consume`."""
    tables = ground.tables
    lease = Lease(
        ground.database, tables.leases, "outbox", seconds=ground.settings.relay_lease_seconds
    )
    relay = Relay(ground.database, tables.outbox, tables.positions, lease, ground.producer)
    measuring = Measuring(ground.log, ground.topics, ground.database, tables.outbox, overdue)
    ground.once_recovered(relay.run)
    ground.once_opened(measuring.run)


async def _open_gate(
    ground: Ground, schema: Schema, recovery: Recovery, stop: asyncio.Event
) -> None:
    """Let the database be used once it is known to fit this code and to be as new as the log.

    Where the log cannot be asked the routes are opened all the same, for answers are taken then too; the loops wait.
    """

    def compared() -> None:
        ground.health.comparing = False

    await wait_for_schema(ground.database, schema, stop, then=RECOVERING, waiting=compared)
    while not stop.is_set() and not ground.recovered.is_set():
        try:
            if not await _unless_stopped(recovery.run(), stop):
                return
            ground.recovered.set()
        except Unavailable as error:
            telemetry.warning("not_recovered_yet", service=ground.service, reason=str(error))
        ground.database.gate = None
        ground.opened.set()
        compared()
        if not ground.recovered.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), _RETRY_SECONDS)
    await stop.wait()


async def _unless_stopped(act: Coroutine[Any, Any, None], stop: asyncio.Event) -> bool:
    """Do it, and say whether it was done: it is given up when the process stops. Raises what it raises."""
    acting, stopping = asyncio.create_task(act), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({acting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if acting.done():
            acting.result()
        return acting.done()
    finally:
        for task in (acting, stopping):
            task.cancel()
        await asyncio.wait({acting, stopping})


async def _once(event: asyncio.Event, work: Work, stop: asyncio.Event) -> None:
    """Do the work once the event is set, unless the process stops before."""
    waiting = {asyncio.create_task(each.wait()) for each in (event, stop)}
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for each in waiting:
            each.cancel()
    if not stop.is_set():
        await work(stop)
