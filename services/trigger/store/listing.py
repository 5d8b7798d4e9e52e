"""Decisions and invitations as the API lists them, newest first; the workspace comes first in every query."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from services.trigger.tables import decisions, invitations, seen
from shared.db import Tx


@dataclass(frozen=True)
class Wanted:
    """Which rows; None asks for any. `outcome` is a decision's, `state` an invitation's."""

    source: str | None = None
    event: str | None = None
    customer: str | None = None
    trigger: str | None = None
    outcome: str | None = None
    reason: str | None = None
    state: str | None = None


async def list_decisions(
    tx: Tx, workspace: str, wanted: Wanted, *, before: str | None, limit: int
) -> list[sa.Row[Any]]:
    """Decisions of triggers, and of events alone (`no_trigger`, `dead_lettered`), by id downward."""
    d, s = decisions.c, seen.c
    columns = [
        d.id,
        d.source,
        d.event,
        d.type,
        d.customer,
        d.trigger,
        d.outcome,
        d.reason,
        d.transaction_key,
        d.event_time,
        d.arrived_at,
        d.decided_at,
        d.due_at,
        d.invitation,
        d.trace,
    ]
    own = sa.select(*columns).where(
        *_matches(decisions, workspace, wanted, before, _DECISION_FIELDS)
    )
    of_event = {c.name: sa.null().label(c.name) for c in columns} | {
        "id": s.id,
        "source": s.source,
        "event": s.event,
        "type": s.type,
        "customer": s.customer,
        "outcome": s.outcome,
        "reason": s.reason,
        "arrived_at": s.arrived_at,
    }
    alone = sa.select(
        *(sa.type_coerce(of_event[c.name], c.type).label(c.name) for c in columns)
    ).where(s.outcome.is_not(None), *_matches(seen, workspace, wanted, before, _SEEN_FIELDS))
    rows = list((await tx.execute(own.order_by(d.id.desc()).limit(limit))).all())
    if wanted.trigger is None and wanted.outcome in (None, "no_trigger", "dead_lettered"):
        rows += (await tx.execute(alone.order_by(s.id.desc()).limit(limit))).all()
    return sorted(rows, key=lambda row: row.id, reverse=True)[:limit]


async def get_decision(tx: Tx, workspace: str, id: str) -> sa.Row[Any] | None:
    """One decision by id, of a trigger or of an event alone."""
    found = await _one(tx, decisions, workspace, id)
    if found is not None:
        return found
    s = seen.c
    statement = sa.select(seen).where(s.workspace == workspace, s.id == id, s.outcome.is_not(None))
    return (await tx.execute(statement)).first()


async def list_invitations(
    tx: Tx, workspace: str, wanted: Wanted, *, before: str | None, limit: int
) -> Sequence[sa.Row[Any]]:
    """Invitations by id downward."""
    i = invitations.c
    conditions = _matches(invitations, workspace, wanted, before, _INVITATION_FIELDS)
    statement = sa.select(invitations).where(*conditions).order_by(i.id.desc()).limit(limit)
    return (await tx.execute(statement)).all()


async def get_invitation(tx: Tx, workspace: str, id: str) -> sa.Row[Any] | None:
    """One invitation by id."""
    return await _one(tx, invitations, workspace, id)


_DECISION_FIELDS = ("source", "event", "customer", "trigger", "outcome", "reason")
_SEEN_FIELDS = ("source", "event", "customer", "outcome", "reason")
_INVITATION_FIELDS = ("source", "event", "customer", "trigger", "state")


async def _one(tx: Tx, table: sa.Table, workspace: str, id: str) -> sa.Row[Any] | None:
    return (
        await tx.execute(sa.select(table).where(table.c.workspace == workspace, table.c.id == id))
    ).first()


def _matches(
    table: sa.Table, workspace: str, wanted: Wanted, before: str | None, fields: tuple[str, ...]
) -> list[sa.ColumnElement[bool]]:
    conditions: list[sa.ColumnElement[bool]] = [table.c.workspace == workspace]
    conditions += [
        table.c[name] == value for name in fields if (value := getattr(wanted, name)) is not None
    ]
    return conditions if before is None else [*conditions, table.c.id < before]
