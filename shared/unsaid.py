"""What an older database has yet to say, though the log has it already.

It would be said once more, and after what was said since. Consumers pass it over by its revision, but a compacted topic
keeps what was said last of each key, and whoever reads it from the start would take the older for the newer.
"""

import hashlib
from collections.abc import Sequence

import sqlalchemy as sa

from shared.db import Tx, delete
from shared.log import Record

_AT_ONCE = 1_000


class Unsaid:
    """The outbox rows of one topic, by what they say: no message is ever encoded twice alike, for each has its own id."""

    def __init__(self, table: sa.Table, rows: dict[bytes, int]) -> None:
        self._table = table
        self._rows = rows

    @classmethod
    async def load(cls, tx: Tx, table: sa.Table, topic: str) -> "Unsaid":
        t = table.c
        found: dict[bytes, int] = {}
        last = -1
        while rows := (
            await tx.execute(
                sa.select(t.id, t.value)
                .where(t.topic == topic, t.id > last, t.value.is_not(None))
                .order_by(t.id)
                .limit(_AT_ONCE)
            )
        ).all():
            found |= {_digest(bytes(row.value)): row.id for row in rows}
            last = rows[-1].id
        return cls(table, found)

    async def said(self, tx: Tx, records: Sequence[Record]) -> None:
        """Let go of the rows that say what stands in these records."""
        if not self._rows:
            return
        said = {_digest(each.value) for each in records if each.value is not None}
        rows = [self._rows[digest] for digest in said & self._rows.keys()]
        await delete(tx, self._table, [self._table.c.id], [(row,) for row in sorted(rows)])


def _digest(value: bytes) -> bytes:
    """In place of the value: an outbox may hold hours of messages."""
    return hashlib.blake2b(value, digest_size=16).digest()
