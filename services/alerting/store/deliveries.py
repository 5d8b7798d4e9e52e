"""SQL about messages, their deliveries and every attempt at them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from services.alerting.definitions import ENDPOINT
from services.alerting.rules import Room
from services.alerting.store.endpoints import Endpoint, EndpointKey, load_targets
from services.alerting.tables import attempts, definitions, deliveries, messages
from shared.db import Tx, Upsert, claim_due, insert, load, now, wake

SIGNAL = "deliveries"
_CHANGED = (
    "state",
    "reason",
    "attempts",
    "spent",
    "due_at",
    "leased_until",
    "changed_at",
)


@dataclass(frozen=True, slots=True)
class NewMessage:
    """A message to be delivered, rendered."""

    workspace: str
    id: str
    alert: str | None
    sequence: int
    type: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Claimed:
    """A delivery leased to this worker, with all that sending it needs."""

    workspace: str
    id: str
    message: str
    body: bytes
    target: Endpoint
    secrets: tuple[str, ...]

    @property
    def lane(self) -> EndpointKey:
        return self.workspace, self.target.id


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
            }
            for m, _ in sent
        ],
    )
    rows = [_delivery(m, endpoint, at) for m, ids in sent for endpoint in ids]
    await insert(tx, deliveries, rows)
    if rows:
        wake(tx, SIGNAL)
    return [row["id"] for row in rows]


async def lanes_due(tx: Tx) -> list[EndpointKey]:
    """The active endpoints that have a delivery due and free; batch function over all workspaces."""
    at = await now(tx)
    d, e = deliveries.c, definitions.c
    waiting = sa.exists().where(
        d.workspace == e.workspace,
        d.endpoint == e.id,
        d.state == "pending",
        d.due_at <= at,
        sa.or_(d.leased_until.is_(None), d.leased_until <= at),
    )
    statement = (
        sa.select(e.workspace, e.id)
        .where(e.kind == ENDPOINT, e.state == "active", waiting)
        .order_by(e.workspace, e.id)
    )
    return [(row.workspace, row.id) for row in await tx.execute(statement)]


async def claim(
    tx: Tx, rooms: Sequence[Room], *, lease_seconds: float
) -> tuple[datetime, list[Claimed]]:
    """Lease what is due, for each lane no more than it has room for; with the database's time of the claim."""
    at = await now(tx)
    d = deliveries.c
    free = sa.or_(d.leased_until.is_(None), d.leased_until <= at)
    arms = [
        sa.select(d.workspace, d.id)
        .where(
            d.workspace == room.lane[0],
            d.endpoint == room.lane[1],
            d.state == "pending",
            d.due_at <= at,
            free,
        )
        .order_by(d.due_at)
        .limit(room.places)
        .subquery()
        for room in rooms
    ]
    candidates = sa.union_all(*(sa.select(arm) for arm in arms))
    rows = await claim_due(
        tx,
        deliveries,
        due=d.due_at,
        leased_until=d.leased_until,
        where=sa.and_(d.state == "pending", sa.tuple_(d.workspace, d.id).in_(candidates)),
        limit=sum(room.places for room in rooms),
        lease_seconds=lease_seconds,
    )
    return at, await _with_bodies(tx, rows, at)


async def lock_deliveries(tx: Tx, keys: Iterable[tuple[str, str]]) -> list[sa.Row[Any]]:
    """These deliveries, locked until the transaction ends."""
    by = [deliveries.c.workspace, deliveries.c.id]
    return await load(tx, deliveries, by, sorted(set(keys)), lock=True)


async def save_attempts(
    tx: Tx, changed: Sequence[dict[str, Any]], made: Sequence[dict[str, Any]]
) -> None:
    """Write deliveries that are locked, whole, and the attempts that were made at them."""
    ordered = sorted(changed, key=lambda row: (row["workspace"], row["id"]))
    await insert(tx, deliveries, ordered, upsert=Upsert(("workspace", "id"), replace=_CHANGED))
    await insert(tx, attempts, made)


@dataclass(frozen=True)
class DeliveryFilter:
    """Which deliveries a list shows; None is all."""

    endpoint: str | None = None
    alert: str | None = None
    state: str | None = None


async def list_deliveries(
    tx: Tx, workspace: str, wanted: DeliveryFilter, *, before: str | None, limit: int
) -> Sequence[sa.Row[Any]]:
    """Deliveries, newest first, after the one whose id is `before`."""
    statement = sa.select(deliveries).where(deliveries.c.workspace == workspace)
    for name in ("endpoint", "alert", "state"):
        if (value := getattr(wanted, name)) is not None:
            statement = statement.where(deliveries.c[name] == value)
    if before is not None:
        statement = statement.where(deliveries.c.id < before)
    return (await tx.execute(statement.order_by(deliveries.c.id.desc()).limit(limit))).all()


async def get_delivery(tx: Tx, workspace: str, id: str) -> sa.Row[Any] | None:
    """One delivery, None when this workspace has none of that id."""
    d = deliveries.c
    statement = sa.select(deliveries).where(d.workspace == workspace, d.id == id)
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


async def get_body(tx: Tx, workspace: str, message: str) -> bytes:
    """The bytes that are sent under this webhook-id."""
    m = messages.c
    statement = sa.select(m.body).where(m.workspace == workspace, m.id == message)
    return bytes((await tx.execute(statement)).scalar_one())


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


async def replay_one(tx: Tx, workspace: str, id: str, by: str) -> None:
    """Send one delivery again, whatever became of it."""
    await replay(tx, workspace, deliveries.c.id == id, by)


async def replay_failed(
    tx: Tx, workspace: str, endpoint: str, start: datetime, end: datetime, by: str
) -> int:
    """Send again what failed for an endpoint, of the messages created in [start, end)."""
    d = deliveries.c
    span = sa.and_(d.created_at >= start, d.created_at < end)
    where = sa.and_(d.endpoint == endpoint, d.state == "failed", span)
    return await replay(tx, workspace, where, by)


async def _with_bodies(tx: Tx, rows: Sequence[sa.Row[Any]], at: datetime) -> list[Claimed]:
    targets = await load_targets(tx, [(row.workspace, row.endpoint) for row in rows], at)
    m = messages.c
    keys = sorted({(row.workspace, row.message) for row in rows})
    found = await load(tx, [m.workspace, m.id, m.body], [m.workspace, m.id], keys)
    bodies = {(row.workspace, row.id): bytes(row.body) for row in found}
    return [
        Claimed(
            workspace=row.workspace,
            id=row.id,
            message=row.message,
            body=bodies[(row.workspace, row.message)],
            target=targets[(row.workspace, row.endpoint)][0],
            secrets=targets[(row.workspace, row.endpoint)][1],
        )
        for row in rows
        if (row.workspace, row.endpoint) in targets
    ]


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
