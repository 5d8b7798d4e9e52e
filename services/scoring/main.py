"""Opens the scoring service: its database, the loop that counts responses, and its routes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from services.scoring import tables
from services.scoring.api import rebuild, scores
from services.scoring.api.context import Context
from services.scoring.settings import Settings
from services.scoring.store.retention import kept
from services.scoring.worker import Counting, decode_response
from shared.auth import Access
from shared.contracts.topics import Topic
from shared.http.app import create_app
from shared.http.serve import Service
from shared.log import Log
from shared.operations import operation_routes
from shared.retention import Retention
from shared.retention_routes import retention_routes
from shared.runtime import Tables, consume, open_ground, relay
from shared.schema import Schema
from shared.worker import Subscription

BATCH = 2_000
SCHEMA = Schema("scoring", Path(__file__).parent / "migrations")
TABLES = Tables(tables.outbox, tables.leases, tables.positions)


@asynccontextmanager
async def open_service(settings: Settings, log: Log, access: Access) -> AsyncIterator[Service]:
    """The service, open until the context ends. Raises `StartupError`."""
    async with open_ground(settings, log, access, SCHEMA, TABLES) as ground:
        counting = Counting(ground.database, settings.rollup)
        subscription = Subscription(counting.handle, decode_response)
        await consume(ground, {Topic.RESPONSES: subscription}, max_records=BATCH)
        relay(ground)
        classes = kept(settings.retain_answers_days, settings.rollup)
        retention = Retention(ground.database, tables.leases, classes)
        ground.once_recovered(retention.run)
        app = create_app(
            "scoring",
            access=access,
            context=Context(ground.database, settings.rollup),
            routers=[
                scores.router,
                rebuild.router,
                operation_routes(ground),
                retention_routes(ground.service, retention),
            ],
            health=ground.health,
        )
        yield Service("scoring", app, ground.health, ground.work)
