"""A database with the tables of one test module, past the gate."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import sqlalchemy as sa

from shared.db import Database, open_database


@asynccontextmanager
async def open_probe(database_url: str, metadata: sa.MetaData) -> AsyncIterator[Database]:
    """Open it as the service `probe` and create the tables."""
    async with open_database(database_url, "probe") as opened:
        async with opened.migrating() as tx:
            if opened.dialect == "postgresql":
                await tx.execute(sa.text("CREATE SCHEMA IF NOT EXISTS probe"))
            await tx.run_sync(metadata.create_all)
        opened.gate = None
        yield opened
