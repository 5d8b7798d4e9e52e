"""The migrations make exactly the tables that the code declares, on both databases."""

import asyncio
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from services.trigger.main import SCHEMA
from services.trigger.store.decisions import claim_releases, lock_pending
from services.trigger.store.events import save_decisions
from services.trigger.tables import decisions, metadata
from shared.db import Tx, open_database
from shared.schema import migrate, problem_with
from tests.integration.older import schema_at
from tests.integration.trigger.rows import row

PARTITIONS = ("decisions_before", "decisions_default")
"""As the migrations leave them; not declared, for they come and go."""


def _differences(connection: sa.Connection) -> list[object]:
    def ours(
        _object: object, name: str | None, kind: str, _reflected: bool, _compared: object
    ) -> bool:
        ignored = ("alembic_version", "schema_compatibility", *PARTITIONS)
        return kind != "table" or name not in ignored

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


async def test_decisions_outlive_their_cutting_into_ranges(
    empty_database_url: str, tmp_path: Path
) -> None:
    rows = [row(days, "pending", event=f"e{days}") for days in (-300, 0, 1, 500)]
    async with open_database(empty_database_url, "trigger") as database:
        await migrate(database, schema_at(SCHEMA, "0001", tmp_path))
        async with database.migrating() as tx:
            await save_decisions(tx, rows)
        assert await migrate(database, SCHEMA) == ("0001", SCHEMA.head())
        async with database.migrating() as tx:
            assert await tx.run_sync(_differences) == []
            kept = (await tx.execute(sa.select(decisions).order_by(decisions.c.id))).all()
            assert [dict(each._mapping) | {"leased_until": None} for each in kept] == [
                each | {"leased_until": None} for each in sorted(rows, key=lambda each: each["id"])
            ]
            if database.dialect == "postgresql":
                await _are_where_they_belong(tx, rows)
        database.gate = None
        async with database.begin() as tx:
            await save_decisions(tx, [row(0, event="new")])
            assert len(await lock_pending(tx, [("acme", rows[1]["id"])])) == 1
            assert len((await tx.execute(sa.select(decisions.c.id))).all()) == len(rows) + 1


async def _are_where_they_belong(tx: Tx, rows: list[dict[str, Any]]) -> None:
    """What stands now and in the coming week is the first range, as it was; what is beyond is in the default."""
    found = await tx.execute(
        sa.text("SELECT id, tableoid::regclass::text AS tableoid FROM decisions")
    )
    of = {each.id: each.tableoid for each in found}
    assert {of[each["id"]] for each in rows[1:]} == {"decisions_before"}
    assert of[rows[0]["id"]] == "decisions_default"
    indexes = await tx.execute(
        sa.text(
            "SELECT count(*) FILTER (WHERE indisunique) FROM pg_index"
            " WHERE indrelid = 'decisions_before'::regclass"
        )
    )
    assert indexes.scalar_one() == 2, "its indexes were taken over and not built again"


async def test_code_of_before_works_on_the_new_schema(
    empty_database_url: str, tmp_path: Path
) -> None:
    async with open_database(empty_database_url, "trigger") as database:
        await migrate(database, SCHEMA)
        assert await problem_with(database, schema_at(SCHEMA, "0001", tmp_path)) is None


async def test_decisions_are_made_and_claimed_while_their_table_is_cut(
    postgres_url: str, tmp_path: Path
) -> None:
    """On connections that have prepared their statements before, and go on with them."""
    async with open_database(postgres_url, "trigger") as database:
        await migrate(database, schema_at(SCHEMA, "0001", tmp_path))
        database.gate = None
        saved: list[str] = []
        claimed: set[str] = set()
        cut = asyncio.Event()

        async def work() -> None:
            rounds = 0
            while rounds < 10 or not cut.is_set():
                some = [row(0, "pending") for _ in range(5)]
                async with database.begin() as tx:
                    await save_decisions(tx, some)
                saved.extend(each["id"] for each in some)
                async with database.begin() as tx:
                    due = await claim_releases(tx)
                    locked = await lock_pending(tx, [(each.workspace, each.id) for each in due])
                    assert len(locked) == len(due)
                claimed.update(each.id for each in due)
                rounds = rounds + 1 if cut.is_set() else 0

        async def cutting() -> None:
            async with open_database(postgres_url, "trigger") as other:
                assert await migrate(other, SCHEMA) == ("0001", SCHEMA.head())
            cut.set()

        await asyncio.gather(work(), work(), work(), cutting())
        async with database.read() as tx:
            kept = set((await tx.execute(sa.select(decisions.c.id))).scalars())
        assert kept == set(saved)
        assert claimed <= kept
