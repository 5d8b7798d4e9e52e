"""The schema of a service's database: migrate it, and refuse to work on one that does not fit this code."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

from shared.db import Database, Tx
from shared.errors import StartupError, TurnedAway, Unavailable
from shared.telemetry import log

_ADVISORY_LOCK = 0x4166_7465_7277
_RETRY_SECONDS = 2.0

compatibility = sa.Table(
    "schema_compatibility",
    sa.MetaData(),
    sa.Column("oldest_revision", sa.Text, nullable=False),
)
"""One row, written by migrations: the head revision of the oldest code that still works on this schema."""


@dataclass(frozen=True)
class Schema:
    """Where a service keeps its migrations; revisions are numbered, so that they can be compared."""

    service: str
    migrations: Path

    def head(self) -> str:
        head = ScriptDirectory(str(self.migrations)).get_current_head()
        if head is None:
            raise StartupError(f"{self.service} has no migrations")
        return head


async def migrate(database: Database, schema: Schema) -> tuple[str | None, str]:
    """Bring the schema to this code's head and return the revisions before and after. Idempotent; one at a time."""
    async with database.migrating() as tx:
        if tx.dialect.name == "postgresql":
            await tx.execute(sa.text(f"SELECT pg_advisory_xact_lock({_ADVISORY_LOCK})"))
            await tx.execute(sa.text(f"CREATE SCHEMA IF NOT EXISTS {schema.service}"))
        before, head = await _revision(tx), schema.head()
        if before != head:
            await tx.run_sync(_upgrade, schema)
    return before, head


async def problem_with(database: Database, schema: Schema) -> str | None:
    """Why this code must not work on the schema as it is, None when it may. Raises `Unavailable`."""
    async with database.migrating() as tx:
        found = await _revision(tx)
        head = schema.head()
        if found == head:
            return None
        if found is None or found < head:
            return (
                f"the database of {schema.service} is at schema revision {found or 'none'} and this code needs {head}:"
                " run `afterword migrate`"
            )
        oldest = (await tx.execute(sa.select(compatibility.c.oldest_revision))).scalar_one()
    if oldest <= head:
        return None
    return (
        f"the database of {schema.service} is at schema revision {found}, which needs code of revision {oldest} or newer;"
        f" this code is at {head}: deploy a newer version"
    )


async def wait_for_schema(
    database: Database,
    schema: Schema,
    stop: asyncio.Event,
    *,
    then: str,
    waiting: Callable[[], None],
) -> None:
    """Check the schema; wait for a database that is down, or for its migration, and say so. The gate says why it is
    closed, and `then` once the schema fits."""
    said = None
    while not stop.is_set():
        try:
            problem = await problem_with(database, schema)
        except Unavailable as error:
            problem = str(error)
        database.gate = problem or then
        if problem is None:
            return
        waiting()
        if problem != said:
            log.warning("waiting_for_database", service=schema.service, reason=problem)
            said = problem
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), _RETRY_SECONDS)


async def refuse_wrong_schema(database: Database, schema: Schema) -> None:
    """At start: raise `StartupError` when the database is there and turns us away, or its schema does not fit."""
    try:
        problem = await problem_with(database, schema)
    except TurnedAway as error:
        raise StartupError(f"{error}: correct AFTERWORD_DATABASE_URL") from error
    except Unavailable:
        return
    if problem is not None:
        raise StartupError(problem)
    database.gate = None


def run_migrations(context: Any, metadata: sa.MetaData) -> None:
    """The whole of a service's alembic `env.py`: run on the connection that `migrate` hands over."""
    context.configure(
        connection=context.config.attributes["connection"],
        target_metadata=metadata,
        render_as_batch=True,
    )
    context.run_migrations()


async def _revision(tx: Tx) -> str | None:
    def read(connection: sa.Connection) -> str | None:
        if not sa.inspect(connection).has_table("alembic_version"):
            return None
        return connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()

    return await tx.run_sync(read)


def _upgrade(connection: sa.Connection, schema: Schema) -> None:
    config = Config()
    config.set_main_option("script_location", str(schema.migrations))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
