"""A broker and a database server that want TLS, started when first asked for; what they trust lies in a directory. The
broker lets our user do everything, and those that Strimzi would make what they are granted."""

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest
from pydantic import SecretStr

from deploy.local.certificates import Authority, Pair
from deploy.local.kafka import KafkaBroker
from deploy.local.kafka_secured import Asked, asked, authorizing, secured_listeners
from deploy.local.postgres import PostgresServer
from deploy.local.process import MissingPart
from services.cli import strimzi
from services.cli.paths import SERVICES
from shared.contracts.topics import topic_specs
from shared.log.login import Login
from shared.log.opening import open_log
from shared.tls import TlsFiles
from tests.conftest import do_without
from tests.e2e.system import System, distributed
from tests.integration.secure.granting import INLET, Granted, grant

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
    broker: KafkaBroker

    def asked(self, prefix: str) -> list[Asked]:
        """What users asked for whose topics and groups have the prefix, which is left off."""
        return [
            each._replace(name=each.name.removeprefix(prefix))
            for each in asked(self.broker.said)
            if each.name.startswith(prefix)
        ]

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
            broker.port,
            by_password,
            by_certificate,
            pki.ours.certificate,
            pki.ours.issue("client"),
            broker,
        )


@pytest.fixture
async def granted(secured_kafka: SecuredKafka) -> Granted:
    made = Granted(secured_kafka.plain, secured_kafka.by_password, f"acl{uuid4().hex[:8]}.")
    async with open_log(made.everything) as log:
        await log.create_topics(topic_specs([INLET]))
    await grant(f"127.0.0.1:{secured_kafka.plain}", made.prefix, strimzi.grants([INLET]))
    return made


@pytest.fixture
async def each_as_itself(
    secured_kafka: SecuredKafka, granted: Granted, postgres_url: str, tmp_path: Path
) -> AsyncIterator[System]:
    """A system whose migration has run as its user, and whose services log in as themselves."""
    made = distributed(
        tmp_path,
        log_url=granted.url(),
        database_url=postgres_url,
        workspaces={"acme": {"inlets": [INLET]}},
        settings={
            "AFTERWORD_KAFKA_USERNAME": strimzi.MIGRATION,
            "AFTERWORD_KAFKA_PASSWORD": PASSWORD,
            "AFTERWORD_KAFKA_CA_FILE": str(secured_kafka.ca),
        },
    )
    for name in SERVICES:
        made.processes[name].environment |= {"AFTERWORD_KAFKA_USERNAME": name}
    yield made
    made.end()


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
