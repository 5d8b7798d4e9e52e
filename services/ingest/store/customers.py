"""Every SQL statement about customers; each write locks them first and announces what changed."""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from services.ingest.rules.customers import Customer, Profile, Write, erase, write
from services.ingest.tables import customers, outbox
from shared.contracts.envelope import Received
from shared.contracts.keys import Key
from shared.contracts.messages import CustomerChanged
from shared.contracts.newest import by_id, newest
from shared.db import Tx, Upsert, insert, load, lock, now
from shared.outbox import announce

_c = customers
_FIELDS = (
    "revision",
    "state",
    "attributes",
    "contact",
    "locale",
    "time_zone",
    "consent",
    "changed_at",
    "changed_by",
)
_NEWER = Upsert(("workspace", "id"), replace=_FIELDS, newer="revision")


async def get_customer(tx: Tx, workspace: str, id: str) -> Customer | None:
    """One customer, None when unknown or erased."""
    return (await _load(tx, workspace, [id])).get(id)


async def list_customers(tx: Tx, workspace: str, *, after: str, limit: int) -> list[Customer]:
    """Customers in id order, without the erased."""
    statement = (
        sa.select(_c)
        .where(_c.c.workspace == workspace, _c.c.id > after, _c.c.state == "active")
        .order_by(_c.c.id)
        .limit(limit)
    )
    return [_customer(row) for row in await tx.execute(statement)]


async def put_customers(
    tx: Tx, workspace: str, profiles: Mapping[str, Profile], *, by: str
) -> dict[str, Write]:
    """Write these customers and announce those that changed. Idempotent."""
    stored = await _locked(tx, workspace, list(profiles))
    at = await now(tx)
    writes = {
        id: write(stored.get(id), id, profile, at=at, by=by) for id, profile in profiles.items()
    }
    await _save(tx, workspace, [each.after for each in writes.values() if each.after])
    return writes


async def erase_customer(tx: Tx, workspace: str, id: str, *, by: str) -> bool:
    """Forget what is known and announce it; False when there is nothing to forget."""
    if await get_customer(tx, workspace, id) is None:
        return False
    old = (await _locked(tx, workspace, [id]))[id]
    if old.state == "erased":
        return False
    await _save(tx, workspace, [erase(old, at=await now(tx), by=by)])
    return True


async def restore(tx: Tx, batch: Sequence[Received[Any]], *, by: str) -> int:
    """Take over again what was announced, where it is newer than what is stored; returns of how many customers."""
    last = newest(batch, by_id).values()
    rows = [_row(received.workspace, _announced(received.message, by)) for received in last]
    return len(await insert(tx, customers, rows, upsert=_NEWER, returning=("id",)))


async def _locked(tx: Tx, workspace: str, ids: Sequence[str]) -> dict[str, Customer]:
    keys = [(workspace, id) for id in sorted(ids)]
    await lock(tx, customers, keys)
    rows = await load(tx, customers, [_c.c.workspace, _c.c.id], keys)
    return {row.id: _customer(row) for row in rows}


async def _load(tx: Tx, workspace: str, ids: Sequence[str]) -> dict[str, Customer]:
    keys = [(workspace, id) for id in ids]
    rows = await load(tx, customers, [_c.c.workspace, _c.c.id], keys)
    return {row.id: _customer(row) for row in rows if row.state == "active"}


async def _save(tx: Tx, workspace: str, changed: Sequence[Customer]) -> None:
    if not changed:
        return
    rows = [_row(workspace, customer) for customer in sorted(changed, key=lambda each: each.id)]
    await insert(tx, customers, rows, upsert=_NEWER)
    announcements = [(Key(workspace, each.id), _message(each)) for each in changed]
    await announce(tx, outbox, "ingest", changed[0].changed_at, announcements)


def _customer(row: sa.Row[Any]) -> Customer:
    profile = Profile(row.attributes, row.contact, row.locale, row.time_zone, row.consent)
    return Customer(row.id, row.revision, row.state, profile, row.changed_at, row.changed_by)


def _row(workspace: str, customer: Customer) -> dict[str, Any]:
    return {
        "workspace": workspace,
        "id": customer.id,
        "revision": customer.revision,
        "state": customer.state,
        **customer.profile.__dict__,
        "changed_at": customer.changed_at,
        "changed_by": customer.changed_by,
    }


def _announced(message: CustomerChanged, by: str) -> Customer:
    told = message.model_dump(include=set(Profile.__dataclass_fields__))
    return Customer(
        message.id, message.revision, message.state, Profile(**told), message.changed_at, by
    )


def _message(customer: Customer) -> CustomerChanged:
    return CustomerChanged(
        id=customer.id,
        revision=customer.revision,
        state=customer.state,
        **customer.profile.__dict__,
        changed_at=customer.changed_at,
    )
