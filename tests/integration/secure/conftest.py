"""A broker and a database server that want TLS, started when first asked for; what they trust lies in a directory. The
broker lets our user do everything, and those that Strimzi would make what they are granted."""

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest
from pydantic import SecretStr

from deploy.local.certificates import Authority, Pair
from deploy.local.kafka import KafkaBroker
from deploy.local.kafka_secured import authorizing, secured_listeners
from deploy.local.postgres import PostgresServer
from deploy.local.process import MissingPart
from services.cli import strimzi
from shared.log.login import Login
from shared.tls import TlsFiles
from tests.conftest import do_without

USER, PASSWORD = "afterword", "correct-horse-battery-staple"


@dataclass(frozen=True)
class Pki:
    """An authority that the servers trust and are trusted by, and another one that nobody knows."""

    ours: Authority
    other: Authority


@dataclass(frozen=True)
class SecuredKafka:
    """A broker with a port for passwords and one for certificates, beside the plain one."""

    plain: int
    by_password: int
    by_certificate: int
    ca: Path
    client: Pair

    def password_login(
        self, password: str = PASSWORD, ca: Path | None = None, user: str = USER
    ) -> Login:
        return Login(user, SecretStr(password), TlsFiles("AFTERWORD_KAFKA", ca or self.ca))

    def certificate_login(self, pair: Pair | None = None, ca: Path | None = None) -> Login:
        shown = pair or self.client
        files = TlsFiles("AFTERWORD_KAFKA", ca or self.ca, shown.certificate, shown.key)
        return Login(tls=files)


@pytest.fixture(scope="session")
def pki() -> Iterator[Pki]:
    directory = Path(tempfile.mkdtemp(prefix="afterword-pki-"))
    try:
        yield Pki(Authority(directory, "ours"), Authority(directory, "other"))
    except MissingPart as missing:
        raise do_without(str(missing)) from missing
    finally:
        shutil.rmtree(directory)


@pytest.fixture(scope="session")
def secured_kafka(pki: Pki) -> Iterator[SecuredKafka]:
    """Its certificate is for 127.0.0.1 alone: by the name `localhost` it is another server."""
    try:
        doors = secured_listeners(pki.ours, "IP:127.0.0.1")
        broker = KafkaBroker(
            listeners=doors,
            passwords=dict.fromkeys((USER, *strimzi.grants()), PASSWORD),
            settings=authorizing(USER, "CN=client"),
        )
    except MissingPart as missing:
        raise do_without(str(missing)) from missing
    with broker:
        by_password, by_certificate = (door.port for door in doors)
        yield SecuredKafka(
            broker.port, by_password, by_certificate, pki.ours.certificate, pki.ours.issue("client")
        )


@pytest.fixture(scope="session")
def secured_server(pki: Pki) -> Iterator[PostgresServer]:
    try:
        server = PostgresServer(durable=False, tls=pki.ours.issue("database", "IP:127.0.0.1"))
    except MissingPart as missing:
        raise do_without(str(missing)) from missing
    with server:
        yield server


@pytest.fixture
async def secured_database_url(secured_server: PostgresServer) -> AsyncIterator[str]:
    """An empty database of a user who has a password; the URL says nothing of TLS."""
    url = secured_server.create_database()
    connection = await asyncpg.connect(secured_server.url)
    name = url.rpartition("/")[2]
    await connection.execute(
        f"DO $$ BEGIN CREATE ROLE {USER} LOGIN PASSWORD '{PASSWORD}';"
        " EXCEPTION WHEN duplicate_object THEN NULL; END $$"
    )
    await connection.execute(f'ALTER DATABASE "{name}" OWNER TO {USER}')
    await connection.close()
    yield url.replace("postgres@", f"{USER}:{PASSWORD}@")
    secured_server.drop_database(url)
