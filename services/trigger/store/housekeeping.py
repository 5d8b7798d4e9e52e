"""Small steps that keep the tables as they should be: old events forgotten, held decisions looked at again."""

from datetime import datetime

import sqlalchemy as sa

from services.trigger.definitions import TRIGGER
from services.trigger.tables import decisions, definitions, seen
from shared.db import Tx, now

_FORGET_BATCH = 1_000
_UNHOLD_BATCH = 1_000


async def forget_events(tx: Tx, before: datetime) -> int:
    """Delete up to a batch of dedupe rows from before; returns how many."""
    s = seen.c
    old = (
        sa.select(s.workspace, s.event, s.source).where(s.arrived_at < before).limit(_FORGET_BATCH)
    )
    result = await tx.execute(
        sa.delete(seen).where(sa.tuple_(s.workspace, s.event, s.source).in_(old))
    )
    return result.rowcount


async def unhold(tx: Tx) -> int:
    """Make decisions due again whose trigger is not paused any more, or gone; returns how many."""
    d, t = decisions.c, definitions.c
    paused = sa.exists().where(
        t.workspace == d.workspace, t.kind == TRIGGER, t.id == d.trigger, t.state == "paused"
    )
    held = (
        sa.select(d.workspace, d.id)
        .where(d.outcome == sa.literal_column("'pending'"), d.due_at.is_(None), ~paused)
        .limit(_UNHOLD_BATCH)
    )
    statement = (
        sa.update(decisions)
        .where(sa.tuple_(d.workspace, d.id).in_(held))
        .values(due_at=await now(tx))
    )
    return (await tx.execute(statement)).rowcount
