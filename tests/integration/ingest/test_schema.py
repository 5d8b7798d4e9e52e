"""The migrations make the tables that the code declares, on both databases."""

from typing import Any

import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from services.ingest.main import SCHEMA
from services.ingest.tables import metadata
from shared.db import open_database
from shared.schema import migrate, problem_with

_BESIDE = {"schema_compatibility", "alembic_version"}


async def test_the_migrated_schema_is_what_tables_says(empty_database_url: str) -> None:
    async with open_database(empty_database_url, "ingest") as database:
        await migrate(database, SCHEMA)
        assert await problem_with(database, SCHEMA) is None
        async with database.migrating() as tx:
            assert await tx.run_sync(_differences) == []


def _differences(connection: sa.Connection) -> list[Any]:
    def ours(object: Any, name: str | None, kind: str, reflected: bool, to: Any) -> bool:
        return not (kind == "table" and name in _BESIDE)

    context = MigrationContext.configure(connection, opts={"include_object": ours})
    found: list[Any] = compare_metadata(context, metadata)
    return found
