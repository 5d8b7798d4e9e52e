"""Pending decisions: claiming those that are due, locking them, and writing what became of them."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from services.trigger.occasions import Occasion
from services.trigger.store.events import snapshot_json
from services.trigger.tables import decisions, holds
from services.trigger.verdicts import Outcome, Verdict
from shared.db import Due, Tx, Upsert, delete, insert, load

DECIDED = "decided"
"""The signal that decisions were made; `?wait=` listens to it."""
RELEASE = "release"
"""The signal that a pending decision may be due."""
_RELEASE_BATCH = 500
_LEASE_SECONDS = 20.0
_D = decisions.c
_RELEASES = Due(
    decisions,
    due=_D.due_at,
    leased_until=_D.leased_until,
    where=_D.outcome == sa.literal_column("'pending'"),
    order_by=(_D.priority.desc(), _D.id),
    at_most=_RELEASE_BATCH,
)


async def claim_releases(tx: Tx) -> list[Any]:
    """Lease pending decisions that are due, the highest priority first, then in the order of their ids."""
    rows = await _RELEASES.claim(tx, lease_seconds=_LEASE_SECONDS)
    return sorted(rows, key=lambda row: (-row.priority, row.id))


async def lock_pending(tx: Tx, keys: Iterable[tuple[str, str]]) -> list[Any]:
    """Lock these decisions by workspace and id; those that are pending no longer are left out."""
    d = decisions.c
    rows = await load(tx, decisions, [d.workspace, d.id], sorted(set(keys)), lock=True)
    return [row for row in rows if row.outcome == Outcome.PENDING]


async def traces_of(tx: Tx, keys: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """The traceparent of each of these decisions that has one, by workspace and id."""
    d = decisions.c
    wanted = [d.workspace, d.id, d.traceparent]
    found = await load(tx, wanted, [d.workspace, d.id], sorted(set(keys)))
    return {(workspace, id): trace for workspace, id, trace in found if trace is not None}


async def save_verdicts(
    tx: Tx,
    decided: Sequence[tuple[Any, Verdict]],
    now: datetime,
    occasions: dict[str, Occasion] | None = None,
) -> None:
    """Append the steps to locked decisions and write their outcomes; what ended without an invitation lets its
    transaction go. `occasions` are those that were looked up anew."""
    rows = [_row(row, verdict, now, (occasions or {}).get(row.id)) for row, verdict in decided]
    replace = (
        "outcome",
        "reason",
        "decided_at",
        "trace",
        "snapshot",
        "invitation",
        "due_at",
        "leased_until",
    )
    await insert(tx, decisions, rows, upsert=Upsert(("workspace", "id"), replace=replace))
    ended = [
        (row.workspace, row.trigger, row.transaction_key, row.id)
        for row, verdict in decided
        if verdict.outcome not in (Outcome.PENDING, Outcome.INVITED)
    ]
    await release_holds(tx, ended)


async def release_holds(tx: Tx, held: Sequence[tuple[str, str, str, str]]) -> None:
    """Let go of transactions that these decisions held."""
    h = holds.c
    await delete(tx, holds, (h.workspace, h.trigger, h.transaction_key, h.decision), held)


def _row(row: Any, verdict: Verdict, now: datetime, occasion: Occasion | None) -> dict[str, Any]:
    invited = verdict.outcome is Outcome.INVITED
    return dict(row._mapping) | {
        "outcome": str(verdict.outcome),
        "reason": None if verdict.reason is None else str(verdict.reason),
        "decided_at": now,
        "trace": [*row.trace, *verdict.steps],
        "snapshot": row.snapshot if occasion is None else snapshot_json(occasion, verdict.outcome),
        "invitation": row.id if invited else None,
        "due_at": verdict.due_at,
        "leased_until": None,
    }
