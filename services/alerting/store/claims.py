"""SQL of the dispatcher: what is due is leased, and every attempt is recorded."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from services.alerting.definitions import ENDPOINT
from services.alerting.rules.sending import Room
from services.alerting.store.endpoints import Endpoint, EndpointKey, load_targets
from services.alerting.tables import attempts, definitions, deliveries, messages
from shared.db import Due, Tx, Upsert, insert, load, now

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
    due = Due(
        deliveries,
        due=d.due_at,
        leased_until=d.leased_until,
        where=sa.and_(d.state == "pending", sa.tuple_(d.workspace, d.id).in_(candidates)),
    )
    rows = await due.claim(
        tx, limit=sum(room.places for room in rooms), lease_seconds=lease_seconds
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
