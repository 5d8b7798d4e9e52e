"""Counts of deliveries for `doctor`, each capped so that a look stays cheap."""

from collections.abc import Mapping
from datetime import datetime

import sqlalchemy as sa

from services.alerting.definitions import ENDPOINT
from services.alerting.tables import definitions, deliveries
from shared.db import Tx, seconds_overdue

_MOST = 10_000


async def failed(tx: Tx, workspace: str, since: datetime) -> int:
    """How many deliveries were given up since then."""
    d = deliveries.c
    return await _count(tx, workspace, d.state == "failed", d.changed_at >= since)


async def overdue(tx: Tx, workspace: str, at: datetime, before: datetime) -> int:
    """How many were due before that, to active endpoints, and are not under way."""
    d = deliveries.c
    free = sa.or_(d.leased_until.is_(None), d.leased_until <= at)
    return await _count(tx, workspace, d.state == "pending", d.due_at < before, free, _to("active"))


async def held(tx: Tx, workspace: str) -> int:
    """How many wait for a paused endpoint."""
    return await _count(tx, workspace, deliveries.c.state == "pending", _to("paused"))


async def seconds_due(tx: Tx) -> Mapping[str, float]:
    """For how many seconds the oldest delivery to an active endpoint has been due; batch function over all
    workspaces."""
    d, e = deliveries.c, definitions.c
    own = sa.and_(d.workspace == e.workspace, d.endpoint == e.id)
    pending = d.state == sa.literal_column("'pending'")
    first = sa.select(d.due_at).where(own, pending).order_by(d.due_at).limit(1).scalar_subquery()
    of_each = sa.select(first.label("due_at")).where(e.kind == ENDPOINT, e.state == "active")
    due_at = of_each.subquery().c.due_at
    return await seconds_overdue(tx, {"deliver": sa.select(due_at).where(due_at.is_not(None))})


def _to(state: str) -> sa.ColumnElement[bool]:
    """Whether the delivery's endpoint is in that state."""
    d, e = deliveries.c, definitions.c
    return sa.exists().where(
        e.workspace == d.workspace, e.kind == ENDPOINT, e.id == d.endpoint, e.state == state
    )


async def _count(tx: Tx, workspace: str, *where: sa.ColumnElement[bool]) -> int:
    some = sa.select(deliveries.c.id).where(deliveries.c.workspace == workspace, *where)
    capped = some.limit(_MOST).subquery()
    return int((await tx.execute(sa.select(sa.func.count()).select_from(capped))).scalar_one())
