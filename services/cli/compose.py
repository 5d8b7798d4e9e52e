"""The composition root: opens services in one process, and puts one origin over them."""

import importlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from services.cli.paths import service_of
from shared.auth import Access
from shared.contracts.topics import topic_specs
from shared.db import open_database
from shared.http.app import health_routes
from shared.http.problems import Problem
from shared.http.serve import Service
from shared.log import Log
from shared.log.opening import open_log
from shared.schema import Schema, migrate
from shared.settings import Settings
from shared.tracing.opening import open_tracing


def settings_of(service: str, **values: Any) -> Settings:
    """The settings of a service: what is given here, then its environment, then its defaults."""
    made: Settings = importlib.import_module(f"services.{service}.settings").Settings(**values)
    return made


def schema_of(service: str) -> Schema:
    """Where the service keeps its migrations."""
    schema: Schema = importlib.import_module(f"services.{service}.main").SCHEMA
    return schema


@asynccontextmanager
async def open_services(
    names: Sequence[str], settings: Mapping[str, Settings]
) -> AsyncIterator[list[Service]]:
    """Open the services on one log and one access file, as their settings say. Raises `StartupError`."""
    first = settings[names[0]]
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(open_tracing(first))
        access = Access.load(first.access_file)
        log = await stack.enter_async_context(open_log(first.log_url, first.log_login()))
        yield [
            await stack.enter_async_context(_open(name, settings[name], log, access))
            for name in names
        ]


@asynccontextmanager
async def _open(name: str, settings: Settings, log: Log, access: Access) -> AsyncIterator[Service]:
    async with importlib.import_module(f"services.{name}.main").open_service(
        settings, log, access
    ) as service:
        yield service


async def migrate_all(
    names: Sequence[str], database_url: str, ca_file: Path | None = None
) -> dict[str, tuple[str | None, str]]:
    """Bring each service's schema to this code's head; returns the revisions before and after. Idempotent."""
    moved = {}
    for name in names:
        schema = schema_of(name)
        # An index of a large table takes as long as it takes.
        async with open_database(database_url, name, ca_file, statement_seconds=None) as database:
            moved[name] = await migrate(database, schema)
    return moved


async def create_topics(settings: Settings) -> list[str]:
    """Create the topics that are missing, the inlets of the access file among them. Idempotent."""
    access = Access.load(settings.access_file)
    async with open_log(settings.log_url, settings.log_login()) as log:
        return await log.create_topics(topic_specs(access.inlets()))


class Origin:
    """One origin over services in this process: each path goes to the service that answers it; ready when all are."""

    def __init__(self, services: Sequence[Service]) -> None:
        self._apps: dict[str, ASGIApp] = {service.name: service.app for service in services}
        self._health = FastAPI(openapi_url=None)
        self._health.include_router(health_routes(*(service.health for service in services)))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"].startswith("/health/"):
            await self._health(scope, receive, send)
        elif app := self._apps.get(service_of(scope["path"]) or ""):
            await app(scope, receive, send)
        else:
            problem = Problem(404, "not-found", f"Nothing is served at {scope['path'][:200]}.")
            await problem.response(None)(scope, receive, send)
