"""The copy of the customers: what was announced, how far it was read, and whether that is recent enough."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final

import sqlalchemy as sa

from services.trigger.tables import customers, freshness, positions
from services.trigger.verdicts import CustomerKey
from shared.contracts.envelope import Received
from shared.contracts.messages import CustomerChanged
from shared.contracts.newest import by_id, newest
from shared.contracts.topics import Topic
from shared.db import Prepared, Tx, Upsert, insert, load
from shared.positions import advance

LONGEST_LAG: Final = timedelta(seconds=30)
"""Nothing is released while our copy is further behind than this: a stop among the unread would be missed."""
_READ_UP_TO = Prepared(
    sa.select(freshness.c.read_up_to).where(
        freshness.c.topic == sa.literal_column(f"'{Topic.CUSTOMERS}'")
    )
)


async def load_customers(tx: Tx, keys: Iterable[CustomerKey]) -> dict[CustomerKey, CustomerChanged]:
    """Our copies of these customers; those we do not know are left out."""
    c = customers.c
    rows = await load(tx, [c.workspace, c.id, c.document], [c.workspace, c.id], sorted(set(keys)))
    return {(row.workspace, row.id): CustomerChanged.model_validate(row.document) for row in rows}


async def save_customers(tx: Tx, batch: Sequence[Received[CustomerChanged]]) -> list[CustomerKey]:
    """Take over newer revisions and move the position, in one transaction; returns whose copy changed."""
    rows = [
        {
            "workspace": workspace,
            "id": id,
            "revision": received.message.revision,
            "document": received.message.model_dump(mode="json"),
        }
        for (workspace, id), received in newest(batch, by_id).items()
    ]
    upsert = Upsert(("workspace", "id"), replace=("revision", "document"), newer="revision")
    written = await insert(tx, customers, rows, upsert=upsert, returning=("workspace", "id"))
    await advance(tx, positions, batch)
    return [(row.workspace, row.id) for row in written]


async def save_freshness(tx: Tx, topic: Topic, read_up_to: datetime) -> None:
    """Note that everything appended before that moment stands in this database."""
    row = {"topic": str(topic), "read_up_to": read_up_to}
    await insert(
        tx, freshness, [row], upsert=Upsert(("topic",), replace=("read_up_to",), newer="read_up_to")
    )


async def is_fresh(tx: Tx, now: datetime) -> bool:
    """Whether the customers have been read up to 30 s ago or later; never before the first full read."""
    rows = await _READ_UP_TO.rows(tx)
    return bool(rows) and now - rows[0].read_up_to <= LONGEST_LAG
