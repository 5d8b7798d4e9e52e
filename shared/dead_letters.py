"""Dead letters: a record that could not be handled, kept with its origin and reason, and replayed on demand."""

import re
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from msgspec.structs import replace

from shared.contracts.topics import dead_letter_topic
from shared.errors import Refused
from shared.log import Log, Outgoing, Record, TopicPartition
from shared.log.limits import refuse_oversized, size_of

_PREFIX = "afterword-"
_PAGE = 500
_OFFSET = re.compile(r"[0-9]{1,18}")


def dead_letter(record: Record, service: str, reason: str) -> Outgoing:
    """The record to write to TOPIC.SERVICE.dlq: key, value and headers as they were, the origin beside them.

    Of a record that Kafka took from others but that is too large for us, only the origin is kept.
    """
    letter = _letter(record, service, reason[:1_000])
    try:
        refuse_oversized([letter])
    except Refused:
        bare = replace(record, key=None, value=None, headers=())
        size = size_of(letter)
        return _letter(bare, service, f"{reason[:900]} (with {size:,} bytes too large to keep)")
    return letter


def _letter(record: Record, service: str, reason: str) -> Outgoing:
    origin = {
        "topic": record.topic,
        "partition": str(record.partition),
        "offset": str(record.offset),
        "timestamp": str(record.timestamp_ms),
        "reason": reason,
    }
    headers = tuple((f"{_PREFIX}{name}", value.encode()) for name, value in origin.items())
    key = record.key if record.key is not None else b""
    return Outgoing(
        dead_letter_topic(record.topic, service), key, record.value, (*record.headers, *headers)
    )


@dataclass(frozen=True)
class DeadLetter:
    """A dead letter as it is listed; `id` is its topic and offset, as the topic has one partition."""

    id: str
    reason: str
    record: Record
    died_at: datetime


def read_back(letter: Record) -> DeadLetter:
    """Undo `dead_letter`: the original record with its origin."""
    origin = {
        name.removeprefix(_PREFIX): value.decode("utf-8", "replace")
        for name, value in letter.headers
        if name.startswith(_PREFIX)
    }
    record = Record(
        topic=origin["topic"],
        partition=int(origin["partition"]),
        offset=int(origin["offset"]),
        key=letter.key or None,
        value=letter.value,
        headers=tuple(header for header in letter.headers if not header[0].startswith(_PREFIX)),
        timestamp_ms=int(origin["timestamp"]),
    )
    died_at = datetime.fromtimestamp(letter.timestamp_ms / 1000, tz=UTC)
    return DeadLetter(f"{letter.topic}:{letter.offset}", origin["reason"], record, died_at)


async def list_dead_letters(
    log: Log,
    service: str,
    topics: Sequence[str],
    *,
    limit: int,
    wanted: Callable[[DeadLetter], bool],
) -> list[DeadLetter]:
    """The newest wanted dead letters of a service, newest first; never holds more than that many of each topic.
    May take long on a long topic; raises `Unavailable`."""
    letters: list[DeadLetter] = []
    for topic in topics:
        partition = TopicPartition(dead_letter_topic(topic, service), 0)
        newest: deque[DeadLetter] = deque(maxlen=limit)
        offset = 0
        while records := await log.read(partition, offset, max_records=_PAGE):
            newest.extend(filter(wanted, map(read_back, records)))
            offset = records[-1].offset + 1
        letters += reversed(newest)
    return sorted(letters, key=lambda letter: letter.died_at, reverse=True)[:limit]


async def find_dead_letter(
    log: Log, service: str, topics: Sequence[str], id: str
) -> DeadLetter | None:
    """The dead letter of that id, None when there is none. Raises `Unavailable`."""
    name, _, offset = id.rpartition(":")
    if name not in {dead_letter_topic(topic, service) for topic in topics}:
        return None
    if not _OFFSET.fullmatch(offset):
        return None
    records = await log.read(TopicPartition(name, 0), int(offset), max_records=1)
    return read_back(records[0]) if records and records[0].offset == int(offset) else None
