"""The composition of the ingest service: what it opens, what it serves, what it runs."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from services.ingest.api import customers, definitions, previews, responses
from services.ingest.api.checks import parked_checks
from services.ingest.context import Context
from services.ingest.guesses import Guesses
from services.ingest.intake.documentation import document_events
from services.ingest.intake.http import EventsDoor
from services.ingest.intake.inlets import inlet_subscriptions
from services.ingest.page import page_routes
from services.ingest.restores import RESTORES
from services.ingest.settings import Settings
from services.ingest.store.invitations import decode_invitation
from services.ingest.store.retention import kept
from services.ingest.tables import leases, outbox, positions
from services.ingest.worker import InvitationCopies
from shared.auth import Access
from shared.contracts.topics import Topic
from shared.definitions.api import definition_routes
from shared.http.app import create_app
from shared.http.serve import Service
from shared.log import Log
from shared.operations import operation_routes
from shared.retention import Retention
from shared.retention_routes import retention_routes
from shared.runtime import Tables, consume, open_ground, relay
from shared.schema import Schema
from shared.worker import Subscription

SCHEMA = Schema("ingest", Path(__file__).parent / "migrations")
TABLES = Tables(outbox, leases, positions)


@asynccontextmanager
async def open_service(settings: Settings, log: Log, access: Access) -> AsyncIterator[Service]:
    """Open the service until the context ends. Raises `StartupError` for a setting or a schema that is wrong."""
    async with open_ground(settings, log, access, SCHEMA, TABLES, restores=RESTORES) as ground:
        context = Context(
            ground.database,
            access,
            ground.keys,
            settings,
            Guesses(settings.wrong_tokens_per_minute),
        )
        copies = InvitationCopies(ground.database, access)
        subscriptions = {
            Topic.INVITATIONS: Subscription(copies.handle, decode_invitation),
            **inlet_subscriptions(access.inlets(), ground.producer),
        }
        await consume(ground, subscriptions)
        relay(ground)
        classes = kept(settings.retain_answers_days, settings.retain_invitations_days)
        retention = Retention(ground.database, leases, classes)
        ground.once_recovered(retention.run)
        routers = [
            customers.router,
            definitions.router,
            definition_routes(definitions.definition_context(lambda: ground.database)),
            previews.router,
            responses.router,
            operation_routes(ground, checks=parked_checks(ground.database)),
            retention_routes(ground.service, retention),
        ]
        app = create_app(
            "ingest",
            access=access,
            context=context,
            routers=routers,
            health=ground.health,
            plain=page_routes(context),
        )
        document_events(app)
        door = EventsDoor(app, access, ground.producer, settings.in_flight_bytes)
        yield Service("ingest", door, ground.health, ground.work)
