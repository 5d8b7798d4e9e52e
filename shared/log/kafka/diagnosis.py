"""Why no broker takes our clients, in plain words: the library itself tells only that none did."""

import asyncio
import ssl
from collections.abc import Iterator

from aiokafka.conn import create_conn
from aiokafka.errors import (
    KafkaConnectionError,
    KafkaError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)
from aiokafka.protocol.metadata import MetadataRequest

from shared.log.kafka.security import MECHANISM, host_and_port
from shared.log.kafka.settings import KafkaSettings, reason
from shared.tls import distrust

PROBE_SECONDS = 5.0
_USER = "AFTERWORD_KAFKA_USERNAME and AFTERWORD_KAFKA_PASSWORD"
_NO_TLS = "the port in AFTERWORD_LOG_URL must be one for TLS, where that begins with kafka+ssl://"
_CERTIFICATE = "AFTERWORD_KAFKA_CERTIFICATE_FILE and AFTERWORD_KAFKA_KEY_FILE"


async def diagnose(settings: KafkaSettings) -> str | None:
    """Do what a client does first, and say of the first broker that fails at it what was wrong; None when all is well."""
    for server in settings.servers:
        try:
            await _greet(settings, server)
        except (KafkaError, OSError, TimeoutError) as error:
            return f"{server}: {explain(settings, error)}"
    return None


async def _greet(settings: KafkaSettings, server: str) -> None:
    host, port = host_and_port(server)
    async with asyncio.timeout(PROBE_SECONDS):
        connection = await create_conn(
            host, port, request_timeout_ms=int(PROBE_SECONDS * 1000), **settings.security.options()
        )
        try:
            await connection.send(MetadataRequest([]))
        finally:
            connection.close()


def explain(settings: KafkaSettings, error: BaseException) -> str:
    """What the error means for whoever set the settings."""
    for each in _causes(error):
        if (words := _known(settings, each)) is not None:
            return words
    return reason(error)


def _known(settings: KafkaSettings, error: BaseException) -> str | None:
    if isinstance(error, ssl.SSLCertVerificationError):
        return distrust(error, "AFTERWORD_KAFKA", "AFTERWORD_LOG_URL")
    if isinstance(error, ssl.SSLError):
        return _of_tls(settings, error)
    if isinstance(error, ConnectionResetError) and settings.security.tls is not None:
        return f"it hangs up on TLS: {_NO_TLS}"
    if isinstance(error, SaslAuthenticationFailed):
        return f"it does not accept {_USER}"
    if isinstance(error, UnsupportedSaslMechanismError):
        return f"it does not let anybody log in by {MECHANISM}, which {_USER} are for"
    if isinstance(error, KafkaConnectionError) and error.__cause__ is not None:
        return _of_hanging_up(settings)
    return None


def _of_tls(settings: KafkaSettings, error: ssl.SSLError) -> str:
    if "ALERT" in (error.reason or ""):
        shown = "does not accept" if settings.security.login.tls.certificate else "asks for"
        return f"it {shown} a certificate of ours: {error.reason}; see {_CERTIFICATE}"
    return f"it does not answer TLS by TLS ({error.reason}): {_NO_TLS}"


def _of_hanging_up(settings: KafkaSettings) -> str:
    if settings.security.tls is None:
        return "it hangs up: when it wants TLS, AFTERWORD_LOG_URL must begin with kafka+ssl://"
    return f"it hangs up: does it want a login? See {_USER}"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error and what brought it about, the innermost first."""
    if error is not None:
        yield from _causes(error.__cause__)
        yield error
