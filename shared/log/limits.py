"""What no log takes, so that a record accepted on a laptop is accepted by Kafka too."""

from collections.abc import Sequence

from shared.errors import Refused
from shared.log import Outgoing

MAX_RECORD_BYTES = 1_000_000
"""Below Kafka's default `message.max.bytes` (1,048,588) with room for the batch around the record."""

_OVERHEAD_BYTES = 64


def size_of(record: Outgoing) -> int:
    """Bytes the record needs, rounded up."""
    size = _OVERHEAD_BYTES + len(record.key) + len(record.value or b"")
    for name, value in record.headers:
        size += 4 * len(name) + len(value) + 10
    return size


def refuse_oversized(records: Sequence[Outgoing]) -> None:
    """Raise `Refused` with the index of the first record that is too large; nothing has been sent then."""
    for index, record in enumerate(records):
        size = size_of(record)
        if size > MAX_RECORD_BYTES:
            raise Refused(
                f"a record for topic {record.topic} is {size:,} bytes; at most {MAX_RECORD_BYTES:,} are taken",
                index,
            )
