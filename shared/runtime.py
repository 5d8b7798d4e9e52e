"""Opens what every service stands on, and assembles its loops; a service's `main` stays a page."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import sqlalchemy as sa

from shared.auth import Access
from shared.db import Database, open_database
from shared.http.app import Health
from shared.http.serve import Work
from shared.leases import Lease
from shared.log import Consumer, Log, Producer
from shared.measuring import Measuring, Overdue, nothing_due
from shared.outbox import Relay
from shared.schema import Schema, open_gate, refuse_wrong_schema
from shared.settings import Settings
from shared.tokens import KeyRing
from shared.tracing.messages import observed
from shared.watchdog import watch
from shared.worker import Subscription, Worker


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
    schema: Schema
    stack: AsyncExitStack
    health: Health = field(default_factory=Health)
    work: list[Work] = field(default_factory=list)
    worker: Worker | None = None
    consumer: Consumer | None = None
    topics: tuple[str, ...] = ()


@asynccontextmanager
async def open_ground(
    settings: Settings, log: Log, access: Access, schema: Schema
) -> AsyncIterator[Ground]:
    """Open the database and a producer. Raises `StartupError` for a wrong setting or a schema that does not fit;
    a database or a broker that is down is waited for by the loops, not here."""
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(
            open_database(settings.database_url, schema.service, settings.database_ca_file)
        )
        producer = await stack.enter_async_context(log.producer())
        await refuse_wrong_schema(database, schema)
        keys = settings.key_ring()
        ground = Ground(
            schema.service, settings, access, keys, log, producer, database, schema, stack
        )
        ground.work.append(lambda stop: _gate(database, schema, stop))
        yield ground


async def consume(
    ground: Ground,
    subscriptions: Mapping[str, Subscription],
    *,
    max_records: int = 1_000,
    before: Work | None = None,
) -> None:
    """Add the consumer loop over these topics, and the watchdog over the loop. `before` is done first."""
    topics = tuple(subscriptions)
    group = ground.service
    consumer = await ground.stack.enter_async_context(ground.log.consumer(group, topics))
    handled = {topic: observed(group, topic, one) for topic, one in subscriptions.items()}
    worker = Worker(group, consumer, ground.producer, handled, max_records=max_records)
    ground.worker, ground.consumer, ground.topics = worker, consumer, topics

    async def watchdog(stop: asyncio.Event) -> None:
        await watch(ground.log, consumer, worker.status, group=group, topics=topics, stop=stop)

    async def loop(stop: asyncio.Event) -> None:
        if before is not None:
            await before(stop)
        await worker.run(stop)

    ground.work += [loop, watchdog]


def relay(
    ground: Ground, outbox: sa.Table, leases: sa.Table, *, overdue: Overdue = nothing_due
) -> None:
    """Add the relay that publishes the service's outbox, and what measures all that waits; after `consume`."""
    lease = Lease(ground.database, leases, "outbox", seconds=ground.settings.relay_lease_seconds)
    relay = Relay(ground.database, outbox, lease, ground.producer)
    measuring = Measuring(ground.log, ground.topics, ground.database, outbox, overdue)
    ground.work += [relay.run, measuring.run]


async def _gate(database: Database, schema: Schema, stop: asyncio.Event) -> None:
    await open_gate(database, schema, stop)
    await stop.wait()
