"""Counts for `doctor`, each capped so that a look stays cheap."""

from collections.abc import Mapping
from datetime import datetime

import sqlalchemy as sa

from services.trigger.store.invitations import OPEN
from services.trigger.tables import decisions, invitations
from shared.db import Tx, seconds_overdue

_MOST = 10_000


async def overdue_releases(tx: Tx, workspace: str, before: datetime) -> int:
    """How many pending decisions were due before that."""
    d = decisions.c
    pending = d.outcome == sa.literal_column("'pending'")
    return await _count(
        tx, sa.select(d.id).where(d.workspace == workspace, pending, d.due_at < before)
    )


async def failed_sendings(tx: Tx, workspace: str, since: datetime) -> int:
    """How many invitations were given up since then."""
    i = invitations.c
    return await _count(
        tx,
        sa.select(i.id).where(i.workspace == workspace, i.state == "failed", i.changed_at >= since),
    )


async def seconds_due(tx: Tx) -> Mapping[str, float]:
    """For how many seconds the oldest of each kind of work has been due; batch function over all workspaces."""
    d, i = decisions.c, invitations.c
    pending = d.outcome == sa.literal_column("'pending'")
    is_open = i.state.in_([sa.literal_column(f"'{state}'") for state in sorted(OPEN)])
    return await seconds_overdue(
        tx,
        {
            "release": sa.select(d.due_at).where(pending),
            "send": sa.select(i.send_at).where(i.send_at.is_not(None)),
            "expire": sa.select(i.expires_at).where(is_open),
        },
    )


async def _count(tx: Tx, rows: sa.Select[tuple[str]]) -> int:
    capped = rows.limit(_MOST).subquery()
    return int((await tx.execute(sa.select(sa.func.count()).select_from(capped))).scalar_one())
