"""Every topic: how long it is kept, who writes and who reads it; the one registry behind create and verify."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

DAY_MS: Final = 24 * 3600 * 1000
PARTITIONS: Final = 12
"""More than a service will have replicas; fixed for compacted topics, so chosen generously."""


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """How a topic must exist: created by `afterword topics create`, checked by `topics verify`."""

    name: str
    partitions: int
    retention_ms: int | None
    compacted: bool = False


class Topic(StrEnum):
    """Our own topics. Only our services write to them."""

    EVENTS = "events"
    CUSTOMERS = "customers"
    DEFINITIONS = "definitions"
    INVITATIONS = "invitations"
    RESPONSES = "responses"
    SIGNALS = "signals"
    ALERTS = "alerts"


READERS: Final[dict[str, tuple[Topic, ...]]] = {
    "ingest": (Topic.INVITATIONS,),
    "trigger": (Topic.EVENTS, Topic.CUSTOMERS, Topic.RESPONSES, Topic.DEFINITIONS),
    "scoring": (Topic.RESPONSES,),
    "alerting": (Topic.RESPONSES,),
}
"""Which service consumes which topic, inlets aside; each pair has its own dead-letter topic. The consumer group is
called like the service."""

WRITERS: Final[dict[str, tuple[Topic, ...]]] = {
    "ingest": (Topic.EVENTS, Topic.CUSTOMERS, Topic.RESPONSES, Topic.DEFINITIONS),
    "trigger": (Topic.INVITATIONS, Topic.DEFINITIONS),
    "scoring": (),
    "alerting": (Topic.ALERTS, Topic.DEFINITIONS),
}
"""Which service announces on which topic, dead letters aside; nobody says anything on `signals` yet."""

SAID_AGAIN: Final[dict[str, tuple[Topic, ...]]] = {
    service: tuple(topic for topic in topics if topic is not Topic.EVENTS)
    for service, topics in WRITERS.items()
}
"""What each service reads of its own words, when its database may be older than they are. Events are not its own."""

INLET_SERVICE: Final = "ingest"
_DEAD_LETTERS: Final = ".dlq"
_COMPACTED: Final = frozenset({Topic.CUSTOMERS, Topic.DEFINITIONS})


def dead_letter_topic(topic: str, service: str) -> str:
    """Where a service leaves the records of a topic that it could not handle."""
    return f"{topic}.{service}{_DEAD_LETTERS}"


def is_dead_letter_topic(topic: str) -> bool:
    """Whether it is one of these; no inlet may be called so."""
    return topic.endswith(_DEAD_LETTERS)


def topics_read(service: str, inlets: Iterable[str] = ()) -> tuple[str, ...]:
    """What a service consumes, given the inlets of the access file."""
    own = tuple(str(topic) for topic in READERS[service])
    return own + (tuple(sorted(set(inlets))) if service == INLET_SERVICE else ())


def topic_specs(inlets: Iterable[str] = ()) -> list[TopicSpec]:
    """All topics that must exist, dead letters included, given the inlets of the access file."""
    specs = [
        TopicSpec(
            topic, PARTITIONS, None if topic in _COMPACTED else 7 * DAY_MS, topic in _COMPACTED
        )
        for topic in Topic
    ]
    inlets = sorted(set(inlets))
    specs += [TopicSpec(inlet, PARTITIONS, 3 * DAY_MS) for inlet in inlets]
    specs += [
        TopicSpec(dead_letter_topic(topic, service), 1, 30 * DAY_MS)
        for service in READERS
        for topic in topics_read(service, inlets)
    ]
    return specs
