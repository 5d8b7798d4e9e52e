"""The schema of a service's database: migrate it, and refuse to work on one that does not fit this code."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy.exc import DBAPIError

from shared.db import Database, Tx
from shared.errors import StartupError, TurnedAway, Unavailable
from shared.telemetry import log

_ADVISORY_LOCK = 0x4166_7465_7277
_RETRY_SECONDS = 2.0
_LOCK_TIMEOUT = "2s"
"""For so long a migration may wait for a table: whoever comes after it waits behind it."""
_TRIES = 60
_IN_USE = ("55P03", "40P01")
"""A lock that was not given in time, a deadlock."""

compatibility = sa.Table(
    "schema_compatibility",
    sa.MetaData(),
    sa.Column("oldest_revision", sa.Text, nullable=False),
)
"""One row, written by migrations: the head revision of the oldest code that still works on this schema."""


class _InUse(Unavailable):
    """Others hold what a migration must lock."""


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
    """Bring the schema to this code's head and return the revisions before and after. Idempotent; one at a time.

    A newer schema is left as it is: this code was rolled back to. Raises `StartupError` when it cannot work on it, and
    `Unavailable` when others hold for minutes what a migration must lock.
    """
    for _ in range(_TRIES):
        try:
            return await _migrate(database, schema)
        except _InUse as error:
            log.info("migration_waits", service=schema.service, reason=str(error))
            await asyncio.sleep(_RETRY_SECONDS)
    return await _migrate(database, schema)


async def _migrate(database: Database, schema: Schema) -> tuple[str | None, str]:
    head = schema.head()
    async with database.migrating() as tx:
        if tx.dialect.name == "postgresql":
            await tx.execute(sa.text("SET LOCAL lock_timeout = 0"))
            await tx.execute(sa.text(f"SELECT pg_advisory_xact_lock({_ADVISORY_LOCK})"))
            await tx.execute(sa.text(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'"))
            await tx.execute(sa.text(f"CREATE SCHEMA IF NOT EXISTS {schema.service}"))
        before = await _revision(tx)
        if before is not None and before > head:
            if problem := await _too_new(tx, schema, before):
                raise StartupError(problem)
            return before, before
        if before != head:
            with _in_use():
                await tx.run_sync(_upgrade, schema)
    return before, head


@contextmanager
def _in_use() -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) in _IN_USE:
            raise _InUse(f"database: {error.orig}") from error
        raise


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
        return await _too_new(tx, schema, found)


async def _too_new(tx: Tx, schema: Schema, found: str) -> str | None:
    """Why code that is older than the schema must not work on it, None when it may."""
    head = schema.head()
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
