"""Chooses the log by its URL, so that a mode of running is a setting and not a branch."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from shared.errors import StartupError
from shared.log import Log


@asynccontextmanager
async def open_log(url: str) -> AsyncIterator[Log]:
    """Open the log named by `kafka://host:port[,host:port]?prefix=...` or `sqlite:///directory`.

    Each implementation is imported only when its URL asks for it: the embedded mode needs no Kafka client.
    Raises `StartupError` for another scheme, or when a second process holds the directory.
    """
    if url.startswith("kafka://"):
        from shared.log.kafka import KafkaLog

        async with KafkaLog.open(url) as log:
            yield log
    elif url.startswith("sqlite:///"):
        from shared.log.embedded import EmbeddedLog

        async with EmbeddedLog.open(url) as log:
            yield log
    else:
        raise StartupError(
            f"AFTERWORD_LOG_URL must start with kafka:// or sqlite:///, not {url.split(':', 1)[0]!r}:"
            " e.g. kafka://localhost:9092 or sqlite:////var/lib/afterword"
        )
