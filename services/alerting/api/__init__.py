"""The routes of alerting: definitions, secrets and tests of endpoints, alerts, deliveries."""

from collections.abc import Sequence

from fastapi import APIRouter

from services.alerting.api import alerts, deliveries, endpoints
from services.alerting.api.context import Context
from services.alerting.definitions import kinds
from services.alerting.settings import Settings
from services.alerting.tables import definitions, outbox
from shared.db import Database
from shared.definitions.api import Context as DefinitionsContext
from shared.definitions.api import definition_routes


def context(database: Database) -> Context:
    """What the routes reach the database by."""
    return Context(database)


def routers(database: Database, settings: Settings) -> Sequence[APIRouter]:
    """All routers of this service."""
    kept = DefinitionsContext(
        service="alerting",
        database=lambda: database,
        table=definitions,
        outbox=outbox,
        kinds=kinds(allow_loopback=settings.allow_loopback),
        put=endpoints.put,
    )
    return definition_routes(kept), endpoints.router, alerts.router, deliveries.router
