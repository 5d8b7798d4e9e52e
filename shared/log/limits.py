"""What no log takes, so that a record accepted on a laptop is accepted by Kafka too."""

from collections.abc import Sequence

from shared.contracts.topics import is_dead_letter_topic
from shared.errors import Refused
from shared.log import Outgoing

MAX_RECORD_BYTES = 1_000_000
"""Below Kafka's default `message.max.bytes` (1,048,588) with room for the batch around the record."""

MAX_LETTER_BYTES = 1_016_000
"""A dead letter is the record and why it died: the largest record of ours still fits with that."""

_OVERHEAD_BYTES = 64
_SURELY_SMALL_BYTES = MAX_RECORD_BYTES - _OVERHEAD_BYTES


def size_of(record: Outgoing) -> int:
    """Bytes the record needs, rounded up."""
    size = _OVERHEAD_BYTES + len(record.key) + len(record.value or b"")
    for name, value in record.headers:
        size += 4 * len(name) + len(value) + 10
    return size


def refuse_oversized(records: Sequence[Outgoing]) -> None:
    """Raise `Refused` with the index of the first record that is too large; nothing has been sent then."""
    for index, record in enumerate(records):
        if not record.headers and len(record.key) + len(record.value or b"") < _SURELY_SMALL_BYTES:
            continue
        size = size_of(record)
        most = MAX_LETTER_BYTES if is_dead_letter_topic(record.topic) else MAX_RECORD_BYTES
        if size > most:
            raise Refused(
                f"a record for topic {record.topic} is {size:,} bytes; at most {most:,} are taken",
                index,
            )
