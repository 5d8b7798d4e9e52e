"""What a batch of events needs: claims, history under the customers' locks, and saving what was decided."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from services.trigger.batch import Books, described
from services.trigger.occasions import Occasion
from services.trigger.tables import cancellations, contacts, decisions, holds, seen
from services.trigger.verdicts import Clock, CustomerKey, HoldKey, Ledger, Outcome, Verdict
from shared.contracts.messages import CustomerChanged
from shared.contracts.values import CustomerSnapshot, Dimension
from shared.db import Tx, Upsert, append, insert, load, lock
from shared.errors import Unavailable

EventKey = tuple[str, str, str]
"""Workspace, event, source."""
_CLAIM = Upsert(
    ("workspace", "event", "source"),
    replace=("id", "claimed", "outcome", "reason", "customer", "type", "arrived_at"),
    newer="claimed",
)


async def claim(tx: Tx, rows: Iterable[Mapping[str, Any]]) -> set[str]:
    """Insert the `seen` rows, no key twice; returns the ids of those that nobody has decided about before."""
    ordered = sorted(rows, key=lambda row: (row["workspace"], row["event"], row["source"]))
    written = await insert(tx, seen, ordered, upsert=_CLAIM, returning=("id",))
    return {row[0] for row in written}


async def bury(tx: Tx, row: Mapping[str, Any]) -> None:
    """Leave the row of an event that was given up, unless it has been decided about."""
    await insert(tx, seen, [row])


async def lock_contacts(tx: Tx, keys: Iterable[CustomerKey]) -> dict[CustomerKey, Clock]:
    """Lock the customers' contact clocks, inserting those that are new, and return those that stood."""
    c = contacts.c
    columns = (c.workspace, c.customer, c.last_invited_at, c.last_invitation, c.clock_at)
    rows = await lock(tx, contacts, sorted(set(keys)), columns)
    return {
        (row.workspace, row.customer): Clock(row.last_invited_at, row.last_invitation, row.clock_at)
        for row in rows
    }


async def load_ledger(
    tx: Tx,
    occasions: Sequence[Occasion],
    books: Books,
    clocks: Mapping[CustomerKey, Clock],
    customers: Mapping[CustomerKey, CustomerChanged],
) -> Ledger:
    """What is known of these occasions' transactions, beside the clocks that their customers' locks returned."""
    keys = {hold_key(o) for o in occasions}
    cancelled = {key for key in keys if _may_be_cancelled(key, books)}
    h, c = holds.c, cancellations.c
    held = await load(tx, holds, [h.workspace, h.trigger, h.transaction_key], sorted(keys))
    gone = await load(
        tx, cancellations, [c.workspace, c.trigger, c.transaction_key], sorted(cancelled)
    )
    return Ledger(
        holds={(r.workspace, r.trigger, r.transaction_key): r.decision for r in held},
        cancelled={
            (r.workspace, r.trigger, r.transaction_key): described(r.event, r.source, r.type)
            for r in gone
        },
        clocks=dict(clocks),
        customers=customers,
    )


def _may_be_cancelled(key: HoldKey, books: Books) -> bool:
    trigger = books[key[0]].triggers.get(key[1])
    return trigger is not None and bool(trigger.cancel_on)


def hold_key(occasion: Occasion) -> HoldKey:
    return occasion.workspace, occasion.trigger, occasion.transaction_key or ""


async def save_ledger(tx: Tx, before: Ledger, after: Ledger) -> None:
    """Write what a batch added to the ledger: transactions taken, contact clocks moved."""
    await _save_holds(
        tx,
        {
            key: decision
            for key, decision in after.holds.items()
            if before.holds.get(key) != decision
        },
    )
    await save_clocks(
        tx, {key: clock for key, clock in after.clocks.items() if before.clocks.get(key) != clock}
    )


async def _save_holds(tx: Tx, wanted: Mapping[HoldKey, str]) -> None:
    """Take the transactions. Raises `Unavailable` when another worker took one meanwhile: decide again."""
    rows = [
        {"workspace": key[0], "trigger": key[1], "transaction_key": key[2], "decision": wanted[key]}
        for key in sorted(wanted)
    ]
    taken = await insert(tx, holds, rows, returning=("decision",))
    if len(taken) != len(rows):
        raise Unavailable("database: another worker is deciding about the same transaction")


async def save_clocks(tx: Tx, clocks: Mapping[CustomerKey, Clock]) -> None:
    """Write the contact clocks of customers whose rows are locked."""
    rows = [
        {
            "workspace": key[0],
            "customer": key[1],
            "last_invited_at": clocks[key].last_invited_at,
            "last_invitation": clocks[key].last_invitation,
            "clock_at": clocks[key].at,
        }
        for key in sorted(clocks)
    ]
    replace = ("last_invited_at", "last_invitation", "clock_at")
    await insert(tx, contacts, rows, upsert=Upsert(("workspace", "customer"), replace=replace))


async def save_decisions(tx: Tx, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert decisions that were claimed: their ids are new."""
    await append(tx, decisions, rows)


def snapshot_json(occasion: Occasion, outcome: Outcome) -> dict[str, Any]:
    """What must still be known, as it was: all of it while a release is to come, then the dimensions, by which it is
    decided who may see the decision. The rest of one that invited stands in its invitation."""
    dimensions = {name: [d.value, d.path] for name, d in occasion.dimensions.items()}
    if outcome is not Outcome.PENDING:
        return {"dimensions": dimensions}
    return {
        "data": occasion.data,
        "time": occasion.time,
        "contact": occasion.contact,
        "customer": None
        if occasion.customer is None
        else occasion.customer.model_dump(mode="json"),
        "dimensions": dimensions,
    }


class _Snapshot(msgspec.Struct):
    data: dict[str, Any]
    contact: dict[str, str]
    dimensions: dict[str, tuple[str, str]]
    customer: dict[str, Any] | None = None
    time: str | None = None


def occasion_of(row: Any) -> Occasion:
    """The occasion of a stored decision that has a snapshot."""
    snapshot = msgspec.convert(row.snapshot, _Snapshot)
    customer = (
        None if snapshot.customer is None else CustomerSnapshot.model_validate(snapshot.customer)
    )
    return Occasion(
        decision=row.id,
        workspace=row.workspace,
        trigger=row.trigger,
        source=row.source,
        event=row.event,
        type=row.type,
        time=row.event_time if snapshot.time else None,
        arrived_at=row.arrived_at,
        customer_id=row.customer,
        transaction_key=row.transaction_key,
        data=snapshot.data,
        contact=snapshot.contact,
        customer=customer,
        dimensions={
            name: Dimension(value=value, path=path)
            for name, (value, path) in snapshot.dimensions.items()
        },
        traceparent=row.traceparent,
    )


def decision_row(
    occasion: Occasion, verdict: Verdict, decided_at: Any, priority: int
) -> dict[str, Any]:
    """A decision as it is stored."""
    alive = verdict.outcome in (Outcome.PENDING, Outcome.INVITED)
    return {
        "workspace": occasion.workspace,
        "id": occasion.decision,
        "source": occasion.source,
        "event": occasion.event,
        "trigger": occasion.trigger,
        "outcome": verdict.outcome.value,
        "reason": None if verdict.reason is None else verdict.reason.value,
        "customer": occasion.customer_id,
        "transaction_key": occasion.transaction_key,
        "type": occasion.type,
        "event_time": occasion.at,
        "arrived_at": occasion.arrived_at,
        "decided_at": decided_at,
        "trace": verdict.steps,
        "snapshot": snapshot_json(occasion, verdict.outcome) if alive else None,
        "invitation": occasion.decision if verdict.outcome is Outcome.INVITED else None,
        "traceparent": occasion.traceparent,
        "priority": priority,
        "due_at": verdict.due_at,
    }
