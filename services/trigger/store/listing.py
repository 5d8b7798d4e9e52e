"""Decisions and invitations as the API lists them, newest first; the workspace comes first in every query.

Whoever is limited to some dimensions sees of decisions those that kept theirs, where there is or may yet be an
invitation.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from services.trigger.tables import decisions, invitations, seen
from shared.data_scope import View, dimensions_in
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
    tx: Tx, workspace: str, view: View, wanted: Wanted, *, before: str | None, limit: int
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
        *_matches(decisions, workspace, wanted, before, _DECISION_FIELDS), _shown(decisions, view)
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
    events_alone = wanted.trigger is None and wanted.outcome in (None, *_OF_EVENTS_ALONE)
    if events_alone and not view.names:
        rows += (await tx.execute(alone.order_by(s.id.desc()).limit(limit))).all()
    return sorted(rows, key=lambda row: row.id, reverse=True)[:limit]


async def get_decision(tx: Tx, workspace: str, view: View, id: str) -> sa.Row[Any] | None:
    """One decision by id, of a trigger or of an event alone."""
    found = await _one(tx, decisions, workspace, view, id)
    if found is not None or view.names:
        return found
    s = seen.c
    statement = sa.select(seen).where(s.workspace == workspace, s.id == id, s.outcome.is_not(None))
    return (await tx.execute(statement)).first()


async def list_invitations(
    tx: Tx, workspace: str, view: View, wanted: Wanted, *, before: str | None, limit: int
) -> Sequence[sa.Row[Any]]:
    """Invitations by id downward."""
    i = invitations.c
    conditions = _matches(invitations, workspace, wanted, before, _INVITATION_FIELDS)
    shown = sa.select(invitations).where(*conditions, _shown(invitations, view))
    return (await tx.execute(shown.order_by(i.id.desc()).limit(limit))).all()


async def get_invitation(tx: Tx, workspace: str, view: View, id: str) -> sa.Row[Any] | None:
    """One invitation by id."""
    return await _one(tx, invitations, workspace, view, id)


_DECISION_FIELDS = ("source", "event", "customer", "trigger", "outcome", "reason")
_SEEN_FIELDS = ("source", "event", "customer", "outcome", "reason")
_INVITATION_FIELDS = ("source", "event", "customer", "trigger", "state")
_OF_EVENTS_ALONE = ("no_trigger", "dead_lettered")
_IN_SNAPSHOT = {"value": 0, "path": 1}


async def _one(tx: Tx, table: sa.Table, workspace: str, view: View, id: str) -> sa.Row[Any] | None:
    mine = sa.select(table).where(table.c.workspace == workspace, table.c.id == id)
    return (await tx.execute(mine.where(_shown(table, view)))).first()


def _shown(table: sa.Table, view: View) -> sa.ColumnElement[bool]:
    """What the view shows of decisions or of invitations."""
    if table is invitations:
        return view.condition(dimensions_in(table.c.document))
    return view.condition(_snapshotted)


def _snapshotted(name: str, part: str) -> sa.ColumnElement[str]:
    text: sa.ColumnElement[str] = decisions.c.snapshot[
        "dimensions", name, _IN_SNAPSHOT[part]
    ].as_string()
    return text


def _matches(
    table: sa.Table, workspace: str, wanted: Wanted, before: str | None, fields: tuple[str, ...]
) -> list[sa.ColumnElement[bool]]:
    conditions: list[sa.ColumnElement[bool]] = [table.c.workspace == workspace]
    conditions += [
        table.c[name] == value for name in fields if (value := getattr(wanted, name)) is not None
    ]
    return conditions if before is None else [*conditions, table.c.id < before]
