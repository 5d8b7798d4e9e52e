"""The migrations make exactly the tables that the code declares, on both databases."""

import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from services.trigger.main import SCHEMA
from services.trigger.tables import metadata
from shared.db import open_database
from shared.schema import migrate


def _differences(connection: sa.Connection) -> list[object]:
    def ours(
        _object: object, name: str | None, kind: str, _reflected: bool, _compared: object
    ) -> bool:
        return kind != "table" or name not in ("alembic_version", "schema_compatibility")

    context = MigrationContext.configure(
        connection, opts={"include_object": ours, "compare_type": True}
    )
    found: list[object] = compare_metadata(context, metadata)
    return found


async def test_the_migrated_schema_is_the_declared_one(empty_database_url: str) -> None:
    async with open_database(empty_database_url, "trigger") as database:
        assert await migrate(database, SCHEMA) == (None, SCHEMA.head())
        async with database.migrating() as tx:
            assert await tx.run_sync(_differences) == []
        assert (await migrate(database, SCHEMA))[0] == SCHEMA.head()
