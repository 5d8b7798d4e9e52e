"""The routes that say what was decided about an event, and why."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel

from services.trigger.api.context import Reached, Reader, WaitSeconds, first_rows
from services.trigger.explanations import why
from services.trigger.store import listing
from services.trigger.store.units import view_of
from services.trigger.verdicts import Outcome
from shared.http.pages import Cursor, Limit, Page, decode_cursor, following
from shared.http.problems import not_found

router = APIRouter(prefix="/v1/decisions", tags=["decisions"])
Filter = Annotated[str | None, Query(min_length=1, max_length=255)]


class EventName(BaseModel):
    """Which event it is about."""

    source: str
    id: str
    type: str
    time: datetime | None = None
    arrived_at: datetime


class DecisionJson(BaseModel):
    """One decision: what became of an event for a trigger, the sentence that says why, and the steps behind it."""

    id: str
    outcome: Outcome
    reason: str | None = None
    why: str
    event: EventName
    customer: str
    trigger: str | None = None
    transaction: str | None = None
    decided_at: datetime
    due_at: datetime | None = None
    invitation: str | None = None
    trace: list[dict[str, Any]] = []


@router.get("")
async def list_decisions(
    context: Reached,
    principal: Reader,
    wait_seconds: WaitSeconds,
    source: Filter = None,
    event: Filter = None,
    customer: Filter = None,
    trigger: Filter = None,
    outcome: Outcome | None = None,
    reason: Filter = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[DecisionJson]:
    """Decisions, newest first. An event that no trigger listens to, or that was given up, has one without a trigger."""
    after = decode_cursor(cursor, str)
    wanted = listing.Wanted(
        source, event, customer, trigger, None if outcome is None else str(outcome), reason
    )

    async def look() -> list[Any]:
        async with context.database.read() as tx:
            return await listing.list_decisions(
                tx,
                principal.workspace,
                await view_of(tx, principal.workspace, principal.data),
                wanted,
                before=after[0] if after else None,
                limit=limit + 1,
            )

    rows = await first_rows(context, look, wait_seconds)
    items = [_json(row) for row in rows[:limit]]
    return Page(items=items, next=following(rows, limit, "id"))


@router.get("/{id}")
async def get_decision(id: str, context: Reached, principal: Reader) -> DecisionJson:
    """One decision with its whole trace."""
    async with context.database.read() as tx:
        view = await view_of(tx, principal.workspace, principal.data)
        row = await listing.get_decision(tx, principal.workspace, view, id)
    if row is None:
        raise not_found("decision", id)
    return _json(row)


def _brought_time(values: dict[str, Any]) -> datetime | None:
    """The event's own time; of an event without one, the moment of its arrival is stored in its place."""
    time: datetime | None = values.get("event_time")
    return None if time == values["arrived_at"] else time


def _json(row: Any) -> DecisionJson:
    values = dict(row._mapping)
    trace = values.get("trace") or []
    given_up = values["outcome"] == Outcome.DEAD_LETTERED
    return DecisionJson(
        id=row.id,
        outcome=Outcome(row.outcome),
        reason=None if given_up else row.reason,
        why=why(row.outcome, row.reason, trace, type=row.type, problem=row.reason),
        event=EventName(
            source=row.source,
            id=row.event,
            type=row.type,
            time=_brought_time(values),
            arrived_at=row.arrived_at,
        ),
        customer=row.customer,
        trigger=values.get("trigger"),
        transaction=values.get("transaction_key"),
        decided_at=values.get("decided_at") or row.arrived_at,
        due_at=values.get("due_at"),
        invitation=values.get("invitation"),
        trace=trace,
    )
