"""Services as they are deployed, on a broker and a database that want TLS and passwords; link keys are rotated meanwhile."""

import base64
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

from shared.tokens import BadToken, KeyRing
from tests.e2e.scenario import DEFINITIONS, invitations, post_event, purchase
from tests.e2e.system import Client, Process, System, distributed
from tests.integration.secure.conftest import PASSWORD, USER, Pki, SecuredKafka
from tests.support import TOKEN_KEYS, eventually

NEW_KEY = "new:" + base64.b64encode(b"n" * 32).decode()
RUNNING = ("ingest", "trigger")


@pytest.fixture
async def system(
    secured_kafka: SecuredKafka, secured_database_url: str, pki: Pki, tmp_path: Path
) -> AsyncIterator[System]:
    """`topics create` and `migrate` have been run as in any deployment."""
    made = distributed(
        tmp_path,
        log_url=f"kafka+ssl://127.0.0.1:{secured_kafka.by_password}?prefix={uuid4().hex[:8]}.",
        database_url=secured_database_url,
        settings={
            "AFTERWORD_KAFKA_USERNAME": USER,
            "AFTERWORD_KAFKA_PASSWORD": PASSWORD,
            "AFTERWORD_KAFKA_CA_FILE": str(secured_kafka.ca),
            "AFTERWORD_DATABASE_CA_FILE": str(pki.ours.certificate),
        },
    )
    yield made
    made.end()


async def asked(client: Client, number: int) -> str:
    """The link of the invitation that a purchase leads to."""
    event = purchase(number, f"c-{number}")
    assert (await post_event(client, event)).status_code == 202
    [invitation] = await invitations(client, event)
    link: str = invitation["link"]
    return link


async def until_opened(client: Client, link: str) -> None:
    """Wait until ingest knows the key of a link, before trigger signs with it."""

    async def opens() -> bool:
        return (await client.get(link)).status_code == 200

    await eventually(opens, every=0.3, what="the page of a link with the new key")


async def test_an_event_becomes_a_link_whose_key_is_rotated(system: System, tmp_path: Path) -> None:
    for name in RUNNING:
        system.processes[name].start()
    system.wait_until_ready(*RUNNING)
    async with system.client() as client:
        for path, document in DEFINITIONS.items():
            if not path.startswith("/v1/alert-rules"):
                assert (await client.put(path, json=document)).is_success, path
        old = await asked(client, 1)
        assert (await client.get(old)).status_code == 200

        keys = tmp_path / "token-keys"
        keys.write_text(f"{TOKEN_KEYS}\n{NEW_KEY}\n")
        token = KeyRing.parse(TOKEN_KEYS).verify(urlsplit(old).path.removeprefix("/s/"))
        ahead = old.replace(urlsplit(old).path, f"/s/{KeyRing.parse(NEW_KEY).sign(token)}")

        await until_opened(client, ahead)
        keys.write_text(f"{NEW_KEY}\n{TOKEN_KEYS}\n")
        numbers = iter(range(2, 100))

        async def signed_anew() -> str | None:
            link = await asked(client, next(numbers))
            try:
                KeyRing.parse(NEW_KEY).verify(urlsplit(link).path.removeprefix("/s/"))
            except BadToken:
                return None
            return link

        new = await eventually(signed_anew, every=0.3)
        for link in (old, new):
            assert (await client.get(link)).status_code == 200
    system.end()
    said = "".join(file.read_text() for file in tmp_path.glob("*.log"))
    assert "file_read" in said
    for secret in (PASSWORD, TOKEN_KEYS.partition(":")[2], NEW_KEY.partition(":")[2]):
        assert secret not in said


async def test_a_wrong_password_is_a_sentence_in_the_status_and_on_the_command_line(
    system: System, tmp_path: Path
) -> None:
    wrong = {"AFTERWORD_KAFKA_PASSWORD": "wrong-secret"}
    said = "does not accept AFTERWORD_KAFKA_USERNAME and AFTERWORD_KAFKA_PASSWORD"
    creating = Process("", ["topics", "create"], system.environment | wrong, tmp_path / "wrong.log")
    creating.start()
    ingest = system.processes["ingest"]
    ingest.environment |= wrong
    ingest.start()
    system.wait_until_ready("ingest")
    async with system.client() as client:
        status = (await client.get("/v1/operations/ingest/status")).json()
    assert status["database"]["ok"]
    assert said in status["log"]["reason"]
    assert creating.wait_for_exit() == 1
    told = creating.log.read_text()
    assert said in told
    assert "Traceback" not in told
    system.end()
    assert "wrong-secret" not in told + ingest.log.read_text()
