"""What one test leaves in the migrated database, the next one does not find."""

import asyncpg
import pytest

from tests.integration.emptying import emptied

_ADD = (
    "INSERT INTO ingest.outbox (topic, key, value, created_at)"
    " VALUES ('events', 'k', 'v', now()) RETURNING id"
)


@pytest.mark.postgres
async def test_an_emptied_copy_is_as_good_as_new(postgres_copy: str) -> None:
    left = await asyncpg.connect(postgres_copy)
    assert await left.fetchval(_ADD) == 1
    await left.execute("CREATE SCHEMA probe; CREATE TABLE probe.things (n int)")
    await left.execute("BEGIN; LOCK TABLE ingest.outbox")  # and the connection stays open
    assert emptied(postgres_copy)
    fresh = await asyncpg.connect(postgres_copy)
    assert await fresh.fetchval("SELECT count(*) FROM ingest.outbox") == 0
    assert await fresh.fetchval("SELECT to_regclass('probe.things')") is None
    assert await fresh.fetchval("SELECT count(*) FROM ingest.alembic_version") == 1
    assert await fresh.fetchval(_ADD) == 1
    await fresh.close()
    left.terminate()
