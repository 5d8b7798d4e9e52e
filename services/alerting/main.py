"""Opens alerting: its routes, the judging of responses, the dispatch of deliveries, the relay."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import SystemRandom

from services.alerting.api import context, routers
from services.alerting.api.checks import checks
from services.alerting.dispatch import Dispatcher
from services.alerting.restores import RESTORES
from services.alerting.settings import Settings
from services.alerting.store.health import seconds_due
from services.alerting.store.retention import kept
from services.alerting.tables import leases, outbox, positions
from services.alerting.worker import Judge
from shared.auth import Access
from shared.contracts.topics import Topic
from shared.http.app import create_app
from shared.http.serve import Service
from shared.log import Log
from shared.operations import operation_routes
from shared.retention import Retention
from shared.retention_routes import retention_checks, retention_routes
from shared.runtime import Tables, consume, open_ground, relay
from shared.schema import Schema
from shared.webhook.client import WebhookClient
from shared.worker import Subscription

SCHEMA = Schema("alerting", Path(__file__).parent / "migrations")
TABLES = Tables(outbox, leases, positions)


@asynccontextmanager
async def open_service(settings: Settings, log: Log, access: Access) -> AsyncIterator[Service]:
    """The service, open until the context ends; the caller serves its app and runs its work.

    Raises `StartupError` for a setting or a schema that does not fit.
    """
    async with (
        WebhookClient.open(allow_loopback=settings.allow_loopback) as client,
        open_ground(settings, log, access, SCHEMA, TABLES, restores=RESTORES) as ground,
    ):
        dispatcher = Dispatcher(ground.database, client, settings, SystemRandom().random)
        await consume(ground, {Topic.RESPONSES: Subscription(Judge(ground.database).handle)})
        relay(ground, overdue=seconds_due)
        classes = kept(settings.retain_deliveries_days, settings.retain_answers_days)
        retention = Retention(ground.database, leases, classes)
        ground.once_opened(dispatcher.run)
        ground.once_recovered(retention.run)
        app = create_app(
            "alerting",
            access=access,
            context=context(ground.database),
            routers=[
                *routers(ground.database, settings),
                operation_routes(
                    ground, checks=retention_checks(checks(ground.database), retention)
                ),
                retention_routes(ground.service, retention),
            ],
            health=ground.health,
        )
        yield Service("alerting", app, ground.health, ground.work)
