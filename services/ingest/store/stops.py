"""Customers who asked not to be asked: recorded as their consent, or parked until it is known who they are."""

from collections.abc import Sequence
from typing import Any, Final

import sqlalchemy as sa

from services.ingest.rules.customers import SURVEYS
from services.ingest.store import invitations
from services.ingest.tables import customers, outbox
from shared.contracts.keys import Key
from shared.contracts.messages import CustomerChanged, InvitationChanged
from shared.db import Tx, Upsert, insert, load, lock, now
from shared.outbox import announce

SERVICE: Final = "ingest"
BY: Final = "stop-link"
_KEY = (customers.c.workspace, customers.c.id)
_UPSERT = Upsert(
    ("workspace", "id"), replace=("revision", "state", "consent", "changed_at", "changed_by")
)


async def stop_by_invitation(tx: Tx, workspace: str, invitation: str) -> None:
    """Record the wish of an invitation's customer, or park it until the invitation's copy is here. Idempotent."""
    copy = await invitations.hold(tx, workspace, invitation)
    customer = await _customer(tx, workspace, invitation, copy)
    if customer is None:
        await invitations.park_stop(tx, workspace, invitation, await now(tx))
    else:
        await stop_asking(tx, [(workspace, customer)])


async def is_stopped(tx: Tx, workspace: str, invitation: str) -> bool:
    """Whether the customer of an invitation asked not to be asked, be it parked."""
    copy = await invitations.get_invitation(tx, workspace, invitation)
    customer = await _customer(tx, workspace, invitation, copy)
    if customer is None:
        return await invitations.stop_is_parked(tx, workspace, invitation)
    found = await load(tx, [customers.c.consent], _KEY, [(workspace, customer)])
    return bool(found) and found[0].consent.get(SURVEYS) is False


async def _customer(
    tx: Tx, workspace: str, invitation: str, copy: InvitationChanged | None
) -> str | None:
    """Whom the invitation asks; None while that is not known."""
    if copy is not None:
        return copy.customer.id
    return await invitations.past_customer(tx, workspace, invitation)


async def stop_asking(tx: Tx, keys: Sequence[tuple[str, str]]) -> None:
    """Withdraw the consent to surveys of these (workspace, customer), known or not, and announce it. Idempotent."""
    wanted = sorted(set(keys))
    await lock(tx, customers, wanted)
    found = await load(tx, customers, _KEY, wanted, lock=True)
    asked = [row for row in found if row.consent.get(SURVEYS) is not False]
    if not asked:
        return
    at = await now(tx)
    rows = [_stopped(row, at) for row in asked]
    await insert(tx, customers, rows, upsert=_UPSERT)
    announcements = [(Key(row["workspace"], row["id"]), _message(row)) for row in rows]
    await announce(tx, outbox, SERVICE, at, announcements)


def _stopped(row: sa.Row[Any], at: Any) -> dict[str, Any]:
    changed = {"consent": {**row.consent, SURVEYS: False}, "changed_at": at, "changed_by": BY}
    return {**row._mapping, "revision": row.revision + 1, "state": "active", **changed}


def _message(row: dict[str, Any]) -> CustomerChanged:
    told = {name: value for name, value in row.items() if name not in ("workspace", "changed_by")}
    return CustomerChanged(**told)
