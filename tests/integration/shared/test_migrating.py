"""Migrations beside a running release: they wait without holding others up, and leave a schema that is newer alone."""

import asyncio
import shutil
from pathlib import Path

import asyncpg
import pytest
import sqlalchemy as sa

from services.cli.compose import migrate_all
from services.scoring.main import SCHEMA
from shared.db import open_database
from shared.errors import StartupError
from shared.schema import Schema, compatibility, migrate, problem_with
from tests.integration.older import schema_at
from tests.support import eventually

_MORE = """\"\"\"More.\"\"\"

from alembic import op

revision = "{revision}"
down_revision = "{before}"


def upgrade() -> None:
    op.execute("{sql}")
"""
_NEXT = f"{int(SCHEMA.head()) + 1:04}"
_WAITING = """SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'ALTER TABLE facts%'"""


def _further(directory: Path, sql: str) -> Schema:
    """The same service with one migration more."""
    shutil.copytree(SCHEMA.migrations, directory)
    text = _MORE.format(revision=_NEXT, before=SCHEMA.head(), sql=sql)
    (directory / "versions" / f"{_NEXT}_more.py").write_text(text, encoding="utf-8")
    return Schema(SCHEMA.service, directory)


async def test_code_that_was_rolled_back_to_leaves_the_newer_schema_as_it_is(
    empty_database_url: str, tmp_path: Path
) -> None:
    older = schema_at(SCHEMA, "0001", tmp_path)
    async with open_database(empty_database_url, "scoring") as database:
        await migrate(database, SCHEMA)
        assert await migrate(database, older) == (SCHEMA.head(), SCHEMA.head())
        assert await problem_with(database, older) is None


async def test_code_is_refused_on_a_schema_that_was_contracted_after_it(
    empty_database_url: str, tmp_path: Path
) -> None:
    older = schema_at(SCHEMA, "0001", tmp_path / "older")
    contracted = _further(
        tmp_path / "further", f"UPDATE schema_compatibility SET oldest_revision = '{_NEXT}'"
    )
    async with open_database(empty_database_url, "scoring") as database:
        await migrate(database, contracted)
        for code in (older, SCHEMA):
            told = await problem_with(database, code)
            assert told is not None
            assert f"needs code of revision {_NEXT} or newer; this code is at {code.head()}" in told
            with pytest.raises(StartupError, match="deploy a newer version"):
                await migrate(database, code)
        async with database.migrating() as tx:
            assert (await tx.execute(sa.select(compatibility))).scalar_one() == _NEXT


async def test_a_migration_that_waits_for_a_table_lets_others_to_it_meanwhile(
    postgres_url: str, tmp_path: Path
) -> None:
    further = _further(tmp_path / "further", "ALTER TABLE facts ADD COLUMN more text")
    async with open_database(postgres_url, "scoring") as database:
        await migrate(database, SCHEMA)
        holder, other = [await asyncpg.connect(postgres_url) for _ in range(2)]

        async def waits() -> bool:
            return bool(await other.fetchval(_WAITING))

        async def has_given_way() -> bool:
            return not await waits()

        try:
            held = holder.transaction()
            await held.start()
            await holder.execute("SELECT FROM scoring.facts")
            migrating = asyncio.create_task(migrate(database, further))
            await eventually(waits, what="the migration waiting")
            await other.execute("SELECT FROM scoring.facts")
            await eventually(has_given_way, what="the migration giving way")
            await eventually(waits, what="the migration trying again")
            assert not migrating.done()
            await held.commit()
            assert await migrating == (SCHEMA.head(), further.head())
        finally:
            await holder.close()
            await other.close()


async def test_no_statement_of_a_migration_is_cut_short(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = "CREATE TABLE told AS SELECT current_setting('statement_timeout') AS statement"
    further = _further(tmp_path / "further", told)
    monkeypatch.setattr("services.cli.compose.schema_of", lambda _: further)
    await migrate_all(["scoring"], postgres_url)
    connection = await asyncpg.connect(postgres_url)
    try:
        assert await connection.fetchval("SELECT statement FROM scoring.told") == "0"
    finally:
        await connection.close()
