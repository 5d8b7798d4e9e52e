"""How far a database holds each topic, written with what came of it, so that a backup says where it ends."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import sqlalchemy as sa

from shared.contracts.envelope import Received
from shared.db import Tx, Upsert, delete, insert
from shared.log import TopicPartition

EVERY: Final = -1
"""The partition of a row that stands for all partitions of its topic that have no row of their own."""
TRUSTED: Final = -1
"""The offset of a database that was used before it had positions: it holds what the group had committed."""
_FURTHER = Upsert(("topic", "partition"), replace=("next_offset",), newer="next_offset")


_ANNOUNCED: Final = "announced "


def announced(at: TopicPartition) -> TopicPartition:
    """Under which name it is noted what the service itself has said there, whatever it reads there too."""
    return TopicPartition(_ANNOUNCED + at.topic, at.partition)


def positions_table(metadata: sa.MetaData, *more: sa.Column[Any]) -> sa.Table:
    """The table every service has, with a row for each partition that it reads and each that it announces on. `more`
    are columns that only code of an older revision writes."""
    return sa.Table(
        "positions",
        metadata,
        sa.Column("topic", sa.Text, primary_key=True),
        sa.Column("partition", sa.Integer, primary_key=True),
        sa.Column("next_offset", sa.BigInteger, nullable=False),
        *more,
    )


async def advance(tx: Tx, table: sa.Table, batch: Sequence[Received[Any]]) -> None:
    """Note that these records, all of one topic and in log order for each partition, stand in the database."""
    lasts = {received.record.partition: received.record for received in batch}
    await note(tx, table, {record.at: record.offset + 1 for record in lasts.values()})


async def note(tx: Tx, table: sa.Table, ends: Mapping[TopicPartition, int]) -> None:
    """Note where each partition goes on after what the database holds. Never goes back."""
    rows = [
        {"topic": str(at.topic), "partition": at.partition, "next_offset": ends[at]}
        for at in sorted(ends)
    ]
    await insert(tx, table, rows, upsert=_FURTHER)


async def forget(tx: Tx, table: sa.Table, partitions: Sequence[TopicPartition]) -> None:
    """Have nothing noted of these partitions any more."""
    keys = sorted((str(at.topic), at.partition) for at in partitions)
    await delete(tx, table, [table.c.topic, table.c.partition], keys)


async def load_positions(
    tx: Tx, table: sa.Table, topics: Iterable[str]
) -> dict[TopicPartition, int]:
    """The next offset of each partition that has one, `EVERY` included."""
    p = table.c
    statement = sa.select(p.topic, p.partition, p.next_offset).where(p.topic.in_(list(topics)))
    return {
        TopicPartition(row.topic, row.partition): row.next_offset
        for row in await tx.execute(statement)
    }


def held(positions: Mapping[TopicPartition, int], at: TopicPartition) -> int:
    """The next offset of a partition: 0 where nothing is held, `TRUSTED` where nothing is known."""
    return positions.get(at, positions.get(TopicPartition(at.topic, EVERY), 0))
