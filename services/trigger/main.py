"""Opens trigger: its routes, its consumer loop, its due-time work, its relay."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from services.trigger.api import decisions, invitations
from services.trigger.api.context import Context
from services.trigger.api.definitions import routes
from services.trigger.dispatch import Sender
from services.trigger.freshness import FreshnessWatch
from services.trigger.invitations import Maker
from services.trigger.operations import checks
from services.trigger.poison import decode_event_record
from services.trigger.release import Releases
from services.trigger.restores import Restores
from services.trigger.settings import Settings
from services.trigger.store.decisions import RELEASE
from services.trigger.store.health import seconds_due
from services.trigger.store.invitations import SEND
from services.trigger.store.retention import kept
from services.trigger.store.rulebooks import Rulebooks
from services.trigger.tables import leases, outbox, positions
from services.trigger.worker import Handlers
from shared.auth import Access
from shared.contracts.topics import Topic
from shared.due import run_steps
from shared.http.app import create_app
from shared.http.serve import Service, Work
from shared.log import Log
from shared.operations import operation_routes
from shared.retention import Retention
from shared.retention_routes import retention_checks, retention_routes
from shared.runtime import Ground, Tables, consume, open_ground, relay
from shared.schema import Schema
from shared.signals import Signal
from shared.webhook.client import WebhookClient
from shared.worker import Subscription

SCHEMA = Schema("trigger", Path(__file__).parent / "migrations")
TABLES = Tables(outbox, leases, positions)
BATCH = 2_000
"""Many, for the statements of a batch cost nearly as much for a few; with 500 a backlog took a fifth longer."""
_SLOW_SECONDS = 60.0


@asynccontextmanager
async def open_service(settings: Settings, log: Log, access: Access) -> AsyncIterator[Service]:
    """Open everything trigger stands on. Raises `StartupError`."""
    async with open_ground(
        settings, log, access, SCHEMA, TABLES, restores=Restores(access).by_topic()
    ) as ground:
        handlers = Handlers(
            ground.database, access, Maker(ground.keys, settings.public_url), Rulebooks()
        )
        subscriptions: dict[str, Subscription] = {
            Topic.EVENTS: Subscription(handlers.events, decode_event_record, handlers.bury),
            Topic.CUSTOMERS: Subscription(handlers.customers),
            Topic.RESPONSES: Subscription(handlers.responses),
            Topic.DEFINITIONS: Subscription(handlers.definitions),
        }
        watch = FreshnessWatch(handlers, log)
        await consume(ground, subscriptions, max_records=BATCH)
        relay(ground, overdue=seconds_due)
        client = await ground.stack.enter_async_context(
            WebhookClient.open(allow_loopback=settings.allow_loopback)
        )
        sender = Sender(
            ground.database, client, settings.send_timeout_seconds, settings.send_concurrency
        )
        classes = kept(settings.retain_decisions_days, settings.retain_invitations_days)
        retention = Retention(ground.database, leases, classes)
        due_work = _due_work(ground, handlers, sender, settings)
        ground.once_recovered(*due_work, watch.run, retention.run)
        context = Context(ground.database, settings)
        routers = [
            *routes(context),
            decisions.router,
            invitations.router,
            operation_routes(ground, checks=retention_checks(checks(ground.database), retention)),
            retention_routes(ground.service, retention),
        ]
        app = create_app(
            "trigger", access=access, context=context, routers=routers, health=ground.health
        )
        yield Service("trigger", app, ground.health, ground.work)


def _due_work(ground: Ground, handlers: Handlers, sender: Sender, settings: Settings) -> list[Work]:
    releases = Releases(handlers)
    signal = ground.database.signal
    steps = (
        (RELEASE, releases.release, settings.poll_seconds),
        (SEND, sender.step, settings.poll_seconds),
        ("expire", releases.expire, settings.poll_seconds),
        ("unhold", releases.unhold, _SLOW_SECONDS),
        ("forget", releases.forget, _SLOW_SECONDS),
    )
    return [
        partial(_loop, name=name, step=step, signal=signal(name), seconds=seconds)
        for name, step, seconds in steps
    ]


async def _loop(
    stop: asyncio.Event,
    *,
    name: str,
    step: Callable[[], Awaitable[int]],
    signal: Signal,
    seconds: float,
) -> None:
    await run_steps("trigger", name, step, signal=signal, stop=stop, poll_seconds=seconds)
