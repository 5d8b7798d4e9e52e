"""A database that answers and turns us away is away; a URL that can never work is one sentence at the start."""

from pathlib import Path

import asyncpg
import pytest
import sqlalchemy as sa

from services.scoring.main import SCHEMA
from shared.db import open_database
from shared.db.failures import translated
from shared.errors import StartupError, Unavailable
from shared.schema import refuse_wrong_schema


async def test_a_server_without_room_for_a_connection_is_unavailable(postgres_url: str) -> None:
    plain = await asyncpg.connect(postgres_url)
    name = await plain.fetchval("SELECT current_database()")
    await plain.execute("CREATE ROLE crowded LOGIN CONNECTION LIMIT 0")
    try:
        url = postgres_url.replace("postgres@", "crowded@")
        async with open_database(url, "probe") as database:
            with pytest.raises(Unavailable, match="too many connections"):
                async with database.migrating() as tx:
                    await tx.execute(sa.text("SELECT 1"))
        assert name
    finally:
        await plain.execute("DROP ROLE crowded")
        await plain.close()


async def test_a_farewell_of_the_server_in_mid_statement_is_unavailable() -> None:
    """What the driver raises then is no error of the database, and must not end a process."""
    with pytest.raises(Unavailable):
        async with translated():
            raise asyncpg.InternalClientError("cannot switch to state 15")


async def test_a_database_that_goes_missing_is_unavailable_at_work_and_a_sentence_at_the_start(
    postgres_url: str,
) -> None:
    async with open_database(f"{postgres_url}_gone", "scoring") as database:
        with pytest.raises(StartupError, match="does not exist"):
            await refuse_wrong_schema(database, SCHEMA)
        database.gate = None
        with pytest.raises(Unavailable, match="does not exist"):
            async with database.begin() as tx:
                await tx.execute(sa.text("SELECT 1"))


async def test_a_role_that_may_not_log_in_is_a_sentence_at_the_start(postgres_url: str) -> None:
    async with open_database(postgres_url.replace("postgres@", "nobody@"), "scoring") as database:
        with pytest.raises(StartupError, match="nobody"):
            await refuse_wrong_schema(database, SCHEMA)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("postgresql://u@127.0.0.1:port/x", "AFTERWORD_DATABASE_URL"),
        ("postgresql://u@127.0.0.1/x?sslmode=sometimes", "sslmode"),
        ("postgresql://u@127.0.0.1/x?sslrootcert=/ca.crt", "AFTERWORD_DATABASE_CA_FILE"),
        ("postgresql://u@127.0.0.1/x?colour=red", "colour"),
        ("sqlite:////proc/nope", "/proc/nope"),
    ],
)
async def test_a_url_that_can_never_work_is_refused_with_what_is_wrong(url: str, told: str) -> None:
    with pytest.raises(StartupError, match=told) as refused:
        async with open_database(url, "probe"):
            pass
    assert "\n" not in str(refused.value)


async def test_an_authority_that_is_not_there_is_refused_by_its_setting() -> None:
    with pytest.raises(StartupError, match="AFTERWORD_DATABASE_CA_FILE /no/such cannot be used"):
        async with open_database("postgresql://u@127.0.0.1/x", "probe", Path("/no/such")):
            pass


async def test_a_directory_that_a_file_blocks_is_refused(tmp_path: Path) -> None:
    (tmp_path / "taken").touch()
    with pytest.raises(StartupError, match="taken"):
        async with open_database(f"sqlite:///{tmp_path / 'taken'}", "probe"):
            pass
