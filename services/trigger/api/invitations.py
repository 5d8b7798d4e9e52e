"""The routes that show invitations, links included: the built-in channel `link` is read here."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel

from services.trigger.api.context import Reached, Reader, WaitSeconds, first_rows
from services.trigger.store import listing
from services.trigger.store.units import view_of
from shared.contracts.messages import InvitationChanged
from shared.contracts.values import InvitationState
from shared.http.pages import Cursor, Limit, Page, decode_cursor, following
from shared.http.problems import not_found

router = APIRouter(prefix="/v1/invitations", tags=["invitations"])
Filter = Annotated[str | None, Query(min_length=1, max_length=255)]


class Sending(BaseModel):
    """How the sending through a channel goes; absent for `link`."""

    attempts: int
    next_at: datetime | None = None
    last_error: str | None = None


class InvitationJson(InvitationChanged):
    """An invitation as it was announced, the decision it came from, and its sending."""

    decision: str
    sending: Sending | None = None


@router.get("")
async def list_invitations(
    context: Reached,
    principal: Reader,
    wait_seconds: WaitSeconds,
    source: Filter = None,
    event: Filter = None,
    customer: Filter = None,
    trigger: Filter = None,
    state: Annotated[InvitationState | None, Query()] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[InvitationJson]:
    """Invitations, newest first."""
    after = decode_cursor(cursor, str)
    wanted = listing.Wanted(
        source, event, customer, trigger, state=None if state is None else str(state)
    )

    async def look() -> list[Any]:
        async with context.database.read() as tx:
            return list(
                await listing.list_invitations(
                    tx,
                    principal.workspace,
                    await view_of(tx, principal.workspace, principal.data),
                    wanted,
                    before=after[0] if after else None,
                    limit=limit + 1,
                )
            )

    rows = await first_rows(context, look, wait_seconds)
    items = [_json(row) for row in rows[:limit]]
    return Page(items=items, next=following(rows, limit, "id"))


@router.get("/{id}")
async def get_invitation(id: str, context: Reached, principal: Reader) -> InvitationJson:
    """One invitation with its link."""
    async with context.database.read() as tx:
        view = await view_of(tx, principal.workspace, principal.data)
        row = await listing.get_invitation(tx, principal.workspace, view, id)
    if row is None:
        raise not_found("invitation", id)
    return _json(row)


def _json(row: Any) -> InvitationJson:
    sends = row.document["channel"] != "link"
    sending = (
        Sending(attempts=row.attempts, next_at=row.send_at, last_error=row.last_error)
        if sends
        else None
    )
    return InvitationJson.model_validate(
        {**row.document, "decision": row.decision, "sending": sending}
    )
