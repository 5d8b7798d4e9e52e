"""Ingest's copy of the invitations: what an answer is joined with, and where it waits until the copy is here."""

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any

import msgspec
import sqlalchemy as sa

from services.ingest.tables import invitations, past_invitations
from shared.contracts.envelope import Received, decode_lean
from shared.contracts.messages import InvitationChanged
from shared.contracts.newest import by_id, newest
from shared.db import Tx, Upsert, insert, load, lock

decode_invitation = partial(decode_lean, InvitationChanged)
"""An invitation is read into the lean form of its model: almost all are only put by."""

_KEY = (invitations.c.workspace, invitations.c.id)
_encode = msgspec.json.Encoder().encode
_UPSERT = Upsert(("workspace", "id"), replace=("revision", "document"), newer="revision")


async def get_invitation(tx: Tx, workspace: str, id: str) -> InvitationChanged | None:
    """The copy, None when it is not here (yet)."""
    found = await load(tx, [invitations.c.document], _KEY, [(workspace, id)])
    return _copy(found[0].document) if found else None


async def hold(tx: Tx, workspace: str, id: str) -> InvitationChanged | None:
    """The copy, locked until the transaction ends; what is not here is locked too.

    So an answer that parks and the copy that arrives cannot miss each other.
    """
    found = await load(tx, [invitations.c.document], _KEY, [(workspace, id)], lock=True)
    if found:
        return _copy(found[0].document)
    await lock(tx, invitations, [(workspace, id)])
    return await get_invitation(tx, workspace, id)  # it may have come meanwhile


async def past_customer(tx: Tx, workspace: str, id: str) -> str | None:
    """Whom an invitation asked whose copy was let go of after its link had expired; None when that is not so."""
    p = past_invitations.c
    found = await load(tx, [p.customer], [p.workspace, p.id], [(workspace, id)])
    return found[0].customer if found else None


async def save_newer(tx: Tx, batch: Sequence[Received[Any]]) -> dict[tuple[str, str], Any]:
    """Take over newer revisions, in key order; returns those that were really newer, in their lean form."""
    last = newest(batch, by_id)
    rows = [_row(received.workspace, received.message) for received in last.values()]
    written = await insert(tx, invitations, rows, upsert=_UPSERT, returning=("workspace", "id"))
    return {(row.workspace, row.id): last[row.workspace, row.id].message for row in written}


async def park_stop(tx: Tx, workspace: str, id: str, at: datetime) -> None:
    """Remember that the customer of an invitation, held by the caller, asked not to be asked. Idempotent."""
    statement = sa.update(invitations).where(
        invitations.c.workspace == workspace,
        invitations.c.id == id,
        invitations.c.stop_asked_at.is_(None),
    )
    await tx.execute(statement.values(stop_asked_at=at))


async def stop_is_parked(tx: Tx, workspace: str, id: str) -> bool:
    """Whether a stop waits for the copy of this invitation."""
    found = await load(tx, [invitations.c.stop_asked_at], _KEY, [(workspace, id)])
    return bool(found) and found[0].stop_asked_at is not None


async def take_parked_stops(tx: Tx, keys: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Of these invitations, whose rows the caller has locked, those with a parked stop; it is parked no more."""
    found = await load(tx, [*_KEY, invitations.c.stop_asked_at], _KEY, keys)
    waiting = sorted((row.workspace, row.id) for row in found if row.stop_asked_at is not None)
    if waiting:
        key = sa.tuple_(*_KEY)
        await tx.execute(sa.update(invitations).where(key.in_(waiting)).values(stop_asked_at=None))
    return waiting


def whole(message: Any) -> InvitationChanged:
    """An invitation in the form that answers are joined with, of its lean form."""
    return InvitationChanged.model_validate_json(_encode(message))


def _row(workspace: str, message: Any) -> dict[str, Any]:
    # A link opens the survey for whoever has it, so the copy does not keep it.
    return {
        "workspace": workspace,
        "id": message.id,
        "revision": message.revision,
        "document": msgspec.Raw(_encode(msgspec.structs.replace(message, link=""))),
    }


def _copy(document: Any) -> InvitationChanged | None:
    return None if document is None else InvitationChanged.model_validate(document)
