"""What alerting keeps for how long: deliveries, which are narrow and a queue, and what they carry in ranges of days."""

from collections.abc import Sequence
from datetime import date
from typing import Any

import sqlalchemy as sa

from services.alerting.tables import attempts, deliveries, messages
from shared.db import Tx, delete, load
from shared.db.ages import count_older, has_rows, older_rows, oldest_day
from shared.db.partitions import Range, remainder
from shared.retention import Before, Kept

_D = deliveries.c
_KEY = (_D.workspace, _D.id)


def kept(days: int) -> list[Kept]:
    """The class of data of alerting. A body is kept as long as one delivery of it."""
    return [
        Kept(
            "deliveries",
            days,
            oldest=_oldest,
            count=_count,
            delete=_delete,
            wide=(messages, attempts),
            holds=_has_deliveries,
        )
    ]


async def _has_deliveries(tx: Tx, one: Range, before: Before | None) -> bool:
    stays = sa.not_(_is_old(before)) if before else sa.true()
    return await has_rows(tx, _D.id, one.first, one.end, stays)


async def _count(tx: Tx, before: Before, most: int) -> int:
    return await count_older(tx, _D.id, before.id, _is_old(before), most=most)


async def _oldest(tx: Tx) -> date | None:
    return await oldest_day(tx, _D.id)


async def _delete(tx: Tx, before: Before, limit: int) -> int:
    """Delete deliveries, and of what they carry that which no range holds."""
    columns = [*_KEY, _D.alert, _D.message]
    rows = await older_rows(tx, columns, _D.id, before.id, _is_old(before), limit=limit)
    keys = [(row.workspace, row.id) for row in rows]
    await delete(tx, deliveries, _KEY, keys)
    a = remainder(tx.dialect.name, attempts).c
    await delete(tx, a.delivery.table, (a.workspace, a.delivery), keys)
    await _delete_messages(tx, rows)
    return len(rows)


async def _delete_messages(tx: Tx, rows: Sequence[Any]) -> None:
    """Delete the messages of these deliveries that no other delivery carries."""
    left = await _carried(tx, rows)
    keys = {(row.workspace, row.message) for row in rows} - left
    m = remainder(tx.dialect.name, messages).c
    await delete(tx, m.id.table, (m.workspace, m.id), sorted(keys))


async def _carried(tx: Tx, rows: Sequence[Any]) -> set[tuple[str, str]]:
    """Which messages the alerts of these deliveries have yet. A message without an alert has no second delivery."""
    keys = sorted({(row.workspace, row.alert) for row in rows if row.alert is not None})
    found = await load(tx, [_D.workspace, _D.message], [_D.workspace, _D.alert], keys)
    return {tuple(row) for row in found}


def _is_old(before: Before) -> sa.ColumnElement[bool]:
    """Whether nothing is to be done with a delivery, and nothing was since; alerts are older than their last message."""
    return sa.and_(_D.state != "pending", _D.changed_at < before.at)
