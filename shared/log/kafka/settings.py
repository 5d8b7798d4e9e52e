"""What a Kafka URL says, and every client option in one place, none left to the library's defaults."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiokafka
from aiokafka.errors import KafkaError

from shared.errors import StartupError, Unavailable
from shared.log import Record, TopicPartition
from shared.log.kafka.security import PLAIN, Security
from shared.log.login import NOBODY, Login

ENCRYPTED = "kafka+ssl"
SEND_SECONDS = 10.0
SESSION_SECONDS = 15.0
"""How soon the group gives a silent member's partitions to others; a killed process is silent."""

REBALANCE_SECONDS = 30.0
LET_GO_SECONDS = 20.0
"""How long a rebalance waits for work in flight; less than the rebalance timeout, or we would be expelled."""

CONNECT_BACKOFF_SECONDS = (0.2, 0.5, 1.0, 2.0)
SIGNATURE = "afterword"
"""Stands beside each offset that we commit; one without it was moved by somebody else, who meant it."""
CALL_SECONDS = 10.0
"""How long one commit, probe or administrative call may take before it is `Unavailable`."""


@dataclass(frozen=True, slots=True)
class KafkaSettings:
    """One cluster; `prefix` stands before every topic and group name there and is never seen here."""

    servers: tuple[str, ...]
    prefix: str = ""
    send_timeout_seconds: float = SEND_SECONDS
    session_timeout_seconds: float = SESSION_SECONDS
    security: Security = PLAIN

    @classmethod
    def parse(cls, url: str, login: Login = NOBODY) -> "KafkaSettings":
        """Read `kafka://host:port[,host:port]?prefix=NAME.&send_timeout=10&session_timeout=15`, or kafka+ssl://...

        Raises `StartupError`.
        """
        parts = urlsplit(url)
        if "@" in parts.netloc:
            raise StartupError(
                "a Kafka URL names no user: set AFTERWORD_KAFKA_USERNAME and AFTERWORD_KAFKA_PASSWORD"
            )
        servers = tuple(server for server in parts.netloc.split(",") if server)
        query = parse_qs(parts.query, keep_blank_values=True)
        unknown = query.keys() - {"prefix", "send_timeout", "session_timeout"}
        if not servers or unknown or parts.path not in ("", "/") or not all(map(_named, servers)):
            raise StartupError(
                "a Kafka URL reads kafka://host:port[,host:port]?prefix=NAME.&send_timeout=SECONDS, with TLS kafka+ssl://..."
                + (f"; not understood: {', '.join(sorted(unknown))}" if unknown else "")
            )
        return cls(
            servers,
            query.get("prefix", [""])[-1],
            _seconds(query, "send_timeout", SEND_SECONDS),
            _seconds(query, "session_timeout", SESSION_SECONDS),
            Security.of(servers, login, encrypted=parts.scheme == ENCRYPTED),
        )

    def client_options(self, request_timeout_seconds: float) -> dict[str, Any]:
        """What every client needs to reach the cluster, and to be let in."""
        return {
            "bootstrap_servers": list(self.servers),
            "client_id": "afterword",
            "request_timeout_ms": int(request_timeout_seconds * 1000),
            "retry_backoff_ms": 100,
            "metadata_max_age_ms": 60_000,
            "connections_max_idle_ms": 540_000,
        } | self.security.options()

    def there(self, name: str) -> str:
        """The name of a topic or group in the cluster."""
        return self.prefix + name

    def theirs(self, at: TopicPartition) -> aiokafka.TopicPartition:
        return aiokafka.TopicPartition(self.prefix + at.topic, at.partition)

    def ours(self, at: aiokafka.TopicPartition) -> TopicPartition:
        return TopicPartition(at.topic[len(self.prefix) :], at.partition)

    def record(self, raw: aiokafka.ConsumerRecord) -> Record:
        headers = tuple((name, value or b"") for name, value in raw.headers) if raw.headers else ()
        topic = raw.topic[len(self.prefix) :]
        return Record(topic, raw.partition, raw.offset, raw.key, raw.value, headers, raw.timestamp)


def _named(server: str) -> bool:
    """Whether it reads host:port."""
    host, _, port = server.rpartition(":")
    return bool(host) and port.isdecimal() and 0 < int(port) < 65_536


def _seconds(query: dict[str, list[str]], name: str, default: float) -> float:
    try:
        seconds = float(query.get(name, [str(default)])[-1])
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise StartupError(f"{name} in the Kafka URL must be a positive number of seconds")
    return seconds


@contextmanager
def unavailable(doing: str) -> Iterator[None]:
    """Turn whatever the client raises while `doing` something into `Unavailable`."""
    try:
        yield
    except TimeoutError as error:
        raise Unavailable(f"Kafka did not answer in time while {doing}") from error
    except (KafkaError, OSError) as error:
        raise Unavailable(f"Kafka failed while {doing}: {reason(error)}") from error


def reason(error: BaseException) -> str:
    """The error's name and words, for one sentence."""
    return f"{type(error).__name__} {error}".strip()
