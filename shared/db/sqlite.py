"""SQLite through aiosqlite: one file per service, one writer, any number of readers."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from shared.db import one_hop
from shared.errors import StartupError

_PRAGMAS = ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=10000", "foreign_keys=ON")


def open_engines(directory: Path, service: str, **options: Any) -> tuple[AsyncEngine, AsyncEngine]:
    """The writer, whose transactions exclude each other, and the readers, which can write nothing. Raises
    `StartupError` for a directory that cannot be used."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StartupError(
            f"the directory {directory} cannot be used for the database: {error.strerror}"
        ) from error
    url = f"sqlite+aiosqlite:///{directory / service}.db"
    shared: dict[str, Any] = {"module": one_hop.Module(), "max_overflow": 0, "pool_timeout": 30}
    writer = create_async_engine(url, pool_size=1, **shared, **options)
    reader = create_async_engine(
        url,
        pool_size=8,
        isolation_level="AUTOCOMMIT",
        skip_autocommit_rollback=True,
        pool_reset_on_return=None,
        **shared,
        **options,
    )
    _prepare(writer, query_only=False)
    _prepare(reader, query_only=True)

    @event.listens_for(writer.sync_engine, "begin")
    def on_begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return writer, reader


@asynccontextmanager
async def transaction(writer: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """A connection inside a transaction, committed at the end; waits for the one before."""
    async with writer.begin() as connection:
        yield connection


def _prepare(engine: AsyncEngine, *, query_only: bool) -> None:
    @event.listens_for(engine.sync_engine, "connect")
    def on_connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in _PRAGMAS:
            cursor.execute(f"PRAGMA {pragma}")
        if query_only:
            cursor.execute("PRAGMA query_only=ON")
        cursor.close()
