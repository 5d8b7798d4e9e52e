"""What alerting keeps for how long: deliveries, which are narrow and a queue, what they carry in ranges of days, alerts."""

from collections.abc import Sequence
from datetime import date
from typing import Any

import sqlalchemy as sa

from services.alerting.tables import alerts, attempts, deliveries, messages, past_alerts
from shared.db import Tx, Upsert, delete, insert, load
from shared.db.ages import count_older, has_rows, older_rows, oldest_day
from shared.db.partitions import Range, remainder
from shared.kept import Before, Kept

_D = deliveries.c
_A = alerts.c
_KEY = (_D.workspace, _D.id)
_PAST = tuple(column.name for column in past_alerts.c)
_PAST_KEY = ("workspace", "response", "rule")
_LEAVE = Upsert(_PAST_KEY, replace=tuple(name for name in _PAST if name not in _PAST_KEY))


def kept(deliveries_days: int, answers_days: int) -> list[Kept]:
    """The classes of data of alerting. A body is kept as long as one delivery of it; alerts hold the answers that they
    are about."""
    return [
        Kept(
            "deliveries",
            deliveries_days,
            ("deliveries", "messages", "attempts"),
            oldest=_oldest,
            count=_count,
            delete=_delete,
            wide=(messages, attempts),
            holds=_has_deliveries,
        ),
        Kept(
            "answers",
            answers_days,
            ("alerts",),
            oldest=_oldest_alert,
            count=_count_alerts,
            delete=_delete_alerts,
        ),
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


async def _delete_alerts(tx: Tx, before: Before, limit: int) -> int:
    """Delete alerts, and leave of each what a late revision of its response goes on from."""
    columns = [_A[name] for name in _PAST]
    rows = await older_rows(tx, columns, _A.id, before.id, _A.changed_at < before.at, limit=limit)
    left = [dict(row._mapping) for row in rows]
    left.sort(key=lambda row: tuple(row[name] for name in _PAST_KEY))
    await insert(tx, past_alerts, left, upsert=_LEAVE)
    await delete(tx, alerts, (_A.workspace, _A.id), [(row.workspace, row.id) for row in rows])
    return len(rows)


async def _count_alerts(tx: Tx, before: Before, most: int) -> int:
    return await count_older(tx, _A.id, before.id, _A.changed_at < before.at, most=most)


async def _oldest_alert(tx: Tx) -> date | None:
    return await oldest_day(tx, _A.id)
