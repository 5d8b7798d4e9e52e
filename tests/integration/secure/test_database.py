"""The database over TLS: what each sslmode looks at, what keeps one out, and an authority that is replaced."""

from pathlib import Path

import pytest
import sqlalchemy as sa
from structlog.testing import capture_logs

from deploy.local.certificates import Authority
from shared import watched
from shared.db import Database, open_database
from shared.errors import StartupError, TurnedAway, Unavailable
from tests.integration.secure.conftest import PASSWORD, Pki


async def encrypted(database: Database) -> bool:
    """Ask the server itself."""
    async with database.migrating() as tx:
        sql = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
        return bool((await tx.execute(sa.text(sql))).scalar_one())


@pytest.mark.parametrize("mode", ["", "?sslmode=verify-full", "?sslmode=verify-ca"])
async def test_with_an_authority_the_server_must_prove_itself(
    secured_database_url: str, pki: Pki, mode: str
) -> None:
    url = secured_database_url + mode
    async with open_database(url, "probe", pki.ours.certificate) as database:
        assert await encrypted(database)
    async with open_database(url, "probe", pki.other.certificate) as database:
        with pytest.raises(Unavailable, match=r"not trusted.*AFTERWORD_DATABASE_CA_FILE") as told:
            await encrypted(database)
    assert PASSWORD not in str(told.value)


async def test_the_name_in_the_url_must_be_the_certificates_but_for_verify_ca(
    secured_database_url: str, pki: Pki
) -> None:
    url = secured_database_url.replace("127.0.0.1", "localhost")
    async with open_database(url, "probe", pki.ours.certificate) as database:
        with pytest.raises(Unavailable, match=r"another server's.*AFTERWORD_DATABASE_URL"):
            await encrypted(database)
    async with open_database(f"{url}?sslmode=verify-ca", "probe", pki.ours.certificate) as database:
        assert await encrypted(database)


async def test_the_systems_authorities_are_asked_when_none_is_named(
    secured_database_url: str,
) -> None:
    async with open_database(f"{secured_database_url}?sslmode=verify-full", "probe") as database:
        with pytest.raises(Unavailable, match="AFTERWORD_DATABASE_CA_FILE"):
            await encrypted(database)


@pytest.mark.parametrize("mode", ["", "?sslmode=require"])
async def test_unverified_is_still_encrypted(secured_database_url: str, mode: str) -> None:
    async with open_database(secured_database_url + mode, "probe") as database:
        assert await encrypted(database)


async def test_a_server_that_wants_tls_turns_plain_text_away(secured_database_url: str) -> None:
    async with open_database(f"{secured_database_url}?sslmode=disable", "probe") as database:
        with pytest.raises(TurnedAway, match="no encryption"):
            await encrypted(database)


async def test_a_wrong_password_is_not_repeated(secured_database_url: str, pki: Pki) -> None:
    url = secured_database_url.replace(PASSWORD, "wrong-secret")
    async with open_database(url, "probe", pki.ours.certificate) as database:
        with pytest.raises(TurnedAway, match="password authentication failed") as told:
            await encrypted(database)
    assert "wrong-secret" not in str(told.value)


@pytest.mark.parametrize("mode", ["require", "verify-full"])
async def test_a_server_without_tls_is_not_spoken_to(postgres_url: str, mode: str) -> None:
    async with open_database(f"{postgres_url}?sslmode={mode}", "probe") as database:
        with pytest.raises(Unavailable, match="rejected SSL upgrade"):
            await encrypted(database)


async def test_an_authority_that_is_replaced_counts_from_the_next_connection_on(
    secured_database_url: str, pki: Pki, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watched, "LOOK_SECONDS", 0.0)
    file = tmp_path / "ca.crt"
    file.write_bytes(pki.other.certificate.read_bytes())
    async with open_database(secured_database_url, "probe", file) as database:
        with pytest.raises(Unavailable, match="AFTERWORD_DATABASE_CA_FILE"):
            await encrypted(database)
        file.write_bytes(pki.ours.certificate.read_bytes())
        assert await encrypted(database)
        await database._reader.dispose()
        file.write_text("half of a cert")
        with capture_logs() as logs:
            assert await encrypted(database), "the last good file stays in force"
    assert [(entry["event"], PASSWORD in str(entry)) for entry in logs] == [("file_refused", False)]


@pytest.mark.parametrize("mode", ["disable", "prefer", "require"])
async def test_an_authority_that_would_not_be_asked_is_refused(tmp_path: Path, mode: str) -> None:
    ca = Authority(tmp_path, "unasked").certificate
    with pytest.raises(StartupError, match=f"sslmode={mode}.*verify-full"):
        async with open_database(f"postgresql://u@127.0.0.1/x?sslmode={mode}", "probe", ca):
            pass
