"""SQL about messages and their deliveries: made with an alert, listed, replayed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from services.alerting.store.alerts import shown
from services.alerting.tables import alerts, attempts, deliveries, messages
from shared.data_scope import View
from shared.db import Tx, insert, now, wake

SIGNAL = "deliveries"


@dataclass(frozen=True, slots=True)
class NewMessage:
    """A message to be delivered, rendered."""

    workspace: str
    id: str
    alert: str | None
    sequence: int
    type: str
    body: bytes
    traceparent: str | None = None


async def add_deliveries(
    tx: Tx, pairs: Sequence[tuple[NewMessage, Sequence[str]]], at: datetime
) -> list[str]:
    """Store each message with one delivery per endpoint, due now; returns the deliveries' ids."""
    sent = [(message, ids) for message, ids in pairs if ids]
    await insert(
        tx,
        messages,
        [
            {
                "workspace": m.workspace,
                "id": m.id,
                "alert": m.alert,
                "sequence": m.sequence,
                "type": m.type,
                "body": m.body,
                "created_at": at,
                "traceparent": m.traceparent,
            }
            for m, _ in sent
        ],
    )
    rows = [_delivery(m, endpoint, at) for m, ids in sent for endpoint in ids]
    await insert(tx, deliveries, rows)
    if rows:
        wake(tx, SIGNAL)
    return [row["id"] for row in rows]


@dataclass(frozen=True)
class DeliveryFilter:
    """Which deliveries a list shows; None is all."""

    endpoint: str | None = None
    alert: str | None = None
    state: str | None = None


async def list_deliveries(
    tx: Tx, workspace: str, view: View, wanted: DeliveryFilter, *, before: str | None, limit: int
) -> Sequence[sa.Row[Any]]:
    """Deliveries, newest first, after the one whose id is `before`."""
    statement = sa.select(deliveries).where(deliveries.c.workspace == workspace, _shown(view))
    for name in ("endpoint", "alert", "state"):
        if (value := getattr(wanted, name)) is not None:
            statement = statement.where(deliveries.c[name] == value)
    if before is not None:
        statement = statement.where(deliveries.c.id < before)
    return (await tx.execute(statement.order_by(deliveries.c.id.desc()).limit(limit))).all()


async def get_delivery(tx: Tx, workspace: str, view: View, id: str) -> sa.Row[Any] | None:
    """One delivery, None when this workspace has none of that id or the view does not show it."""
    d = deliveries.c
    statement = sa.select(deliveries).where(d.workspace == workspace, d.id == id, _shown(view))
    return (await tx.execute(statement)).one_or_none()


async def read_back(tx: Tx, workspace: str, id: str) -> sa.Row[Any]:
    """A delivery that this transaction has written or seen."""
    d = deliveries.c
    statement = sa.select(deliveries).where(d.workspace == workspace, d.id == id)
    return (await tx.execute(statement)).one()


async def list_attempts(tx: Tx, workspace: str, delivery: str) -> Sequence[sa.Row[Any]]:
    """Every attempt at a delivery, in order."""
    a = attempts.c
    statement = sa.select(attempts).where(a.workspace == workspace, a.delivery == delivery)
    return (await tx.execute(statement.order_by(a.number))).all()


async def get_body(tx: Tx, workspace: str, message: str) -> bytes | None:
    """The bytes that are sent under this webhook-id, None once they have been let go of."""
    m = messages.c
    statement = sa.select(m.body).where(m.workspace == workspace, m.id == message)
    body = (await tx.execute(statement)).scalar_one_or_none()
    return None if body is None else bytes(body)


async def replay(tx: Tx, workspace: str, where: sa.ColumnElement[bool], by: str) -> int:
    """Make these deliveries due now with a whole schedule before them, and note who asked; how many they were."""
    at = await now(tx)
    result = await tx.execute(
        sa.update(deliveries)
        .where(deliveries.c.workspace == workspace, where)
        .values(
            state="pending",
            reason=None,
            spent=0,
            due_at=at,
            changed_at=at,
            replayed_at=at,
            replayed_by=by,
        )
    )
    wake(tx, SIGNAL)
    return result.rowcount


async def replay_one(tx: Tx, workspace: str, id: str, by: str) -> bool:
    """Send one delivery again, whatever became of it; False when it has been let go of meanwhile."""
    return await replay(tx, workspace, deliveries.c.id == id, by) == 1


async def replay_failed(
    tx: Tx, workspace: str, endpoint: str, start: datetime, end: datetime, by: str
) -> int:
    """Send again what failed for an endpoint, of the messages created in [start, end)."""
    d = deliveries.c
    span = sa.and_(d.created_at >= start, d.created_at < end)
    where = sa.and_(d.endpoint == endpoint, d.state == "failed", span)
    return await replay(tx, workspace, where, by)


def _shown(view: View) -> sa.ColumnElement[bool]:
    """Which deliveries a view shows: those of alerts that it shows, and all others only where nothing is limited."""
    if not view.names:
        return sa.true()
    d, a = deliveries.c, alerts.c
    return sa.exists().where(a.workspace == d.workspace, a.id == d.alert, shown(view))


def _delivery(message: NewMessage, endpoint: str, at: datetime) -> dict[str, Any]:
    return {
        "workspace": message.workspace,
        "id": f"{message.id}.{endpoint}",
        "endpoint": endpoint,
        "message": message.id,
        "alert": message.alert,
        "type": message.type,
        "state": "pending",
        "attempts": 0,
        "spent": 0,
        "due_at": at,
        "created_at": at,
        "changed_at": at,
    }
