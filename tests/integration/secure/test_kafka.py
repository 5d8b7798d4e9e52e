"""The log over TLS: logins by password and by certificate, what keeps one out, and certificates that are replaced."""

import asyncio
import gc
import logging
import re
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from shared import watched
from shared.errors import StartupError, Unavailable
from shared.log import Outgoing, Producer, TopicPartition, TopicSpec
from shared.log.login import NOBODY, Login
from shared.log.opening import open_log
from shared.tls import TlsFiles
from tests.integration.secure.conftest import PASSWORD, Pki, SecuredKafka
from tests.support import eventually

SPEC = TopicSpec("events", 1, 24 * 60 * 60 * 1000)


def url_of(
    port: int, *, host: str = "127.0.0.1", scheme: str = "kafka+ssl", send_timeout: float = 0.5
) -> str:
    return f"{scheme}://{host}:{port}?prefix=s{uuid.uuid4().hex[:8]}.&send_timeout={send_timeout}"


async def refusal(producer: Producer, words: str) -> str:
    """Why nothing can be sent, once that is found out."""

    async def told() -> str | None:
        with pytest.raises(Unavailable) as error:
            await producer.send([Outgoing("events", b"k", b"v")])
        return str(error.value) if re.search(words, str(error.value)) else None

    return await eventually(told, seconds=20, what=words)


@pytest.mark.parametrize("by", ["password", "certificate"])
async def test_every_client_gets_in(secured_kafka: SecuredKafka, by: str) -> None:
    """Topics, a producer, a group and a reader: each makes connections of its own."""
    if by == "password":
        port, login = secured_kafka.by_password, secured_kafka.password_login()
    else:
        port, login = secured_kafka.by_certificate, secured_kafka.certificate_login()
    at = TopicPartition("events", 0)
    url = url_of(port, send_timeout=20)
    async with open_log(url, login) as log, log.producer() as producer:
        assert await log.create_topics([SPEC]) == ["events"]
        assert await log.verify_topics([SPEC]) == []
        await producer.send([Outgoing("events", b"k", b"v")])
        async with log.consumer("readers", ["events"]) as consumer:

            async def fetched() -> list[bytes | None]:
                found = await consumer.fetch(max_records=1, timeout_seconds=1)
                return [record.value for record in found.get(at, ())]

            assert await eventually(fetched, seconds=20) == [b"v"]
            await consumer.commit({at: 1})
        assert (await log.lag("readers", ["events"]))[at].records == 0
        assert [record.value for record in await log.read(at, 0, max_records=1)] == [b"v"]


Attempt = Callable[[SecuredKafka, Pki], tuple[str, Login]]
REFUSED: dict[str, tuple[Attempt, str]] = {
    "a wrong password": (
        lambda kafka, pki: (url_of(kafka.by_password), kafka.password_login("wrong-secret")),
        "does not accept AFTERWORD_KAFKA_USERNAME and AFTERWORD_KAFKA_PASSWORD",
    ),
    "no login": (
        lambda kafka, pki: (
            url_of(kafka.by_password),
            Login(tls=TlsFiles("AFTERWORD_KAFKA", kafka.ca)),
        ),
        "does it want a login.*AFTERWORD_KAFKA_USERNAME",
    ),
    "an authority that did not sign": (
        lambda kafka, pki: (
            url_of(kafka.by_password),
            kafka.password_login(ca=pki.other.certificate),
        ),
        "not trusted.*AFTERWORD_KAFKA_CA_FILE",
    ),
    "the system's authorities": (
        lambda kafka, pki: (url_of(kafka.by_password), NOBODY),
        "not trusted.*AFTERWORD_KAFKA_CA_FILE",
    ),
    "a name that the certificate has not": (
        lambda kafka, pki: (url_of(kafka.by_password, host="localhost"), kafka.password_login()),
        "another server's.*AFTERWORD_LOG_URL",
    ),
    "plain text to a port with TLS": (
        lambda kafka, pki: (url_of(kafka.by_password, scheme="kafka"), NOBODY),
        r"hangs up.*kafka\+ssl://",
    ),
    "TLS to a plain port": (
        lambda kafka, pki: (url_of(kafka.plain), kafka.password_login()),
        r"AFTERWORD_LOG_URL must be one for TLS",
    ),
    "a password where none is asked for": (
        lambda kafka, pki: (url_of(kafka.by_certificate), kafka.password_login()),
        "AFTERWORD_KAFKA_CERTIFICATE_FILE",
    ),
    "no certificate": (
        lambda kafka, pki: (
            url_of(kafka.by_certificate),
            Login(tls=TlsFiles("AFTERWORD_KAFKA", kafka.ca)),
        ),
        "asks for a certificate.*AFTERWORD_KAFKA_CERTIFICATE_FILE",
    ),
    "somebody else's certificate": (
        lambda kafka, pki: (
            url_of(kafka.by_certificate),
            kafka.certificate_login(pki.other.issue(f"stranger-{uuid.uuid4().hex[:6]}")),
        ),
        "does not accept a certificate.*AFTERWORD_KAFKA_CERTIFICATE_FILE",
    ),
}


# asyncio closes a TLS connection that is given up before its handshake has begun only some turns of its loop later, and here
# the loop ends as soon as one client is told: a socket may be left for the garbage.
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
@pytest.mark.parametrize(("attempt", "words"), REFUSED.values(), ids=REFUSED)
async def test_who_is_kept_out_is_told_which_setting(
    secured_kafka: SecuredKafka,
    pki: Pki,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
    attempt: Attempt,
    words: str,
) -> None:
    url, login = attempt(secured_kafka, pki)
    with caplog.at_level(logging.DEBUG):
        async with open_log(url, login) as log, log.producer() as producer:
            told = await refusal(producer, words)
    gc.collect()  # so that what is left is found here
    said = told + caplog.text + capsys.readouterr().out
    assert PASSWORD not in said
    assert "wrong-secret" not in said


@pytest.mark.parametrize("replaced", ["certificate", "authority"])
async def test_files_that_are_replaced_are_used_from_the_next_connection_on(
    secured_kafka: SecuredKafka,
    pki: Pki,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    replaced: str,
) -> None:
    """A log that is open with what nobody accepts gets in, by itself, once the files are right."""
    monkeypatch.setattr(watched, "LOOK_SECONDS", 0.0)
    right = {
        "ca": secured_kafka.ca.read_bytes(),
        "certificate": secured_kafka.client.certificate.read_bytes(),
        "key": secured_kafka.client.key.read_bytes(),
    }
    stranger = pki.other.issue(f"replaced-{replaced}")
    wrong = {"ca": pki.other.certificate.read_bytes()}
    if replaced == "certificate":
        wrong = {"certificate": stranger.certificate.read_bytes(), "key": stranger.key.read_bytes()}
    files = {name: tmp_path / name for name in right}
    for name, file in files.items():
        file.write_bytes(wrong.get(name, right[name]))
    login = Login(tls=TlsFiles("AFTERWORD_KAFKA", *files.values()))
    url = url_of(secured_kafka.by_certificate)
    async with open_log(url, login) as log, log.producer() as producer:
        await refusal(producer, "AFTERWORD_KAFKA_")
        for name in wrong:  # a certificate before its key: for a moment they do not match
            files[name].write_bytes(right[name])
            await asyncio.sleep(0.3)

        await refusal(producer, "topic events is not there")  # it is let in


@pytest.mark.parametrize(
    ("url", "login", "words"),
    [
        ("kafka://broker:9092", Login("u", None), "belong together"),
        ("kafka+ssl://broker:9092", Login(tls=TlsFiles("AFTERWORD_KAFKA", None, Path("c"))), "belong together"),
        ("kafka://127.0.0.1:9092", Login(tls=TlsFiles("AFTERWORD_KAFKA", Path("ca"))), r"kafka\+ssl://"),
        ("kafka+ssl://broker:9092", Login(tls=TlsFiles("AFTERWORD_KAFKA", Path("/no/such"))), "AFTERWORD_KAFKA_CA_FILE /no/such"),
        ("kafka://user:hush@broker:9092", NOBODY, "names no user"),
    ],
)  # fmt: skip
async def test_a_login_that_can_never_work_is_refused_at_once(
    url: str, login: Login, words: str
) -> None:
    with pytest.raises(StartupError, match=words) as told:
        async with open_log(url, login):
            pass
    assert "hush" not in str(told.value)


@pytest.mark.parametrize(
    ("servers", "allowed"),
    [
        ("localhost:1", True),
        ("127.0.0.1:1", True),
        ("[::1]:1", True),
        ("10.0.0.1:1", False),
        ("127.0.0.1:1,kafka:1", False),
    ],
)
async def test_a_password_needs_tls_but_on_this_machine(
    secured_kafka: SecuredKafka, servers: str, allowed: bool
) -> None:
    login = Login("user", secured_kafka.password_login().password)
    opening = open_log(f"kafka://{servers}", login)
    if allowed:
        async with opening:
            return
    with pytest.raises(StartupError, match=r"without TLS.*kafka\+ssl://"):
        async with opening:
            pass
