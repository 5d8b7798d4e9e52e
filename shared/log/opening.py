"""Chooses the log by its URL, so that a mode of running is a setting and not a branch."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from shared.errors import StartupError
from shared.log import Log
from shared.log.login import NOBODY, Login


@asynccontextmanager
async def open_log(url: str, login: Login = NOBODY) -> AsyncIterator[Log]:
    """Open the log named by `kafka[+ssl]://host:port[,host:port]?prefix=...` or `sqlite:///directory`.

    Each implementation is imported only when its URL asks for it: the embedded mode needs no Kafka client.
    Raises `StartupError` for another scheme, or when a second process holds the directory.
    """
    if url.startswith(("kafka://", "kafka+ssl://")):
        from shared.log.kafka import KafkaLog

        async with KafkaLog.open(url, login) as log:
            yield log
    elif url.startswith("sqlite:///"):
        from shared.log.embedded import EmbeddedLog

        async with EmbeddedLog.open(url) as log:
            yield log
    else:
        raise StartupError(
            f"AFTERWORD_LOG_URL must start with kafka://, kafka+ssl:// or sqlite:///, not"
            f" {url.split(':', 1)[0]!r}: e.g. kafka://localhost:9092 or sqlite:////var/lib/afterword"
        )
