"""SQL that takes over again what stands in the log of invitations, and lets events that are read again find it."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from services.trigger.occasions import Occasion
from services.trigger.store.invitations import SEND
from services.trigger.tables import decisions, freshness, holds, invitations
from services.trigger.verdicts import Outcome
from shared.contracts.envelope import Received, encoded
from shared.contracts.topics import Topic
from shared.db import Tx, Upsert, insert, load, now, wake

InvitationKey = tuple[str, str]
"""Workspace and id, which is the decision's too."""
DecisionOf = tuple[str, str, str, str]
"""Workspace, event, source, trigger."""
_TO_SEND = frozenset({"made", "sending"})
_I, _D = invitations.c, decisions.c
_CHANGED = ("revision", "state", "document", "changed_at", "send_at", "leased_until")
_HELD = ("workspace", "trigger", "transaction_key")
_DECIDED = ("outcome", "reason", "decided_at", "trace", "invitation", "due_at", "leased_until")


async def take_over(
    tx: Tx, newest: Mapping[InvitationKey, Received[Any]]
) -> tuple[list[Received[Any]], int]:
    """Write the invitations that are newer than what is stored: those that were not known, and how many were.

    What was still to be sent is sent: the channel knows a repetition by its id. One that was not known lacks the
    contact points that its event brought, and waits for the event to be read again.
    """
    keys = sorted(newest)
    stored = await load(tx, [_I.workspace, _I.id, _I.revision], [_I.workspace, _I.id], keys)
    revisions = {(row.workspace, row.id): row.revision for row in stored}
    changed = [key for key in keys if 0 < revisions.get(key, 0) < newest[key].message.revision]
    made = [key for key in keys if key not in revisions]
    contacts = await _decide(tx, [newest[key] for key in made])
    await _save(tx, [_row(newest[key], {}, known=True) for key in changed])
    await _save(
        tx, [_row(newest[key], contacts.get(key, {}), known=key in contacts) for key in made]
    )
    wake(tx, SEND)
    return [newest[key] for key in made], len(changed)


async def note_restored(tx: Tx, at: datetime) -> None:
    """Note that all invitations announced before this moment stand in the database, be their events unread."""
    row = {"topic": str(Topic.INVITATIONS), "read_up_to": at}
    upsert = Upsert(("topic",), replace=("read_up_to",), newer="read_up_to")
    await insert(tx, freshness, [row], upsert=upsert)


async def decided(tx: Tx, occasions: Sequence[Occasion]) -> set[DecisionOf]:
    """Which of these occasions have a decision already; what waits for its contact points is sent with them."""
    by = [_D.workspace, _D.event, _D.source, _D.trigger]
    wanted = {(o.workspace, o.event, o.source, o.trigger): o for o in occasions}
    found = await load(tx, [*by, _D.id], by, sorted(wanted))
    occasion_of = {
        (row.workspace, row.id): wanted[row.workspace, row.event, row.source, row.trigger]
        for row in found
    }
    rows = await load(tx, invitations, [_I.workspace, _I.id], sorted(occasion_of), lock=True)
    at = await now(tx)
    waiting = [
        dict(row._mapping) | {"contact": occasion_of[row.workspace, row.id].contact, "send_at": at}
        for row in rows
        if row.state in _TO_SEND and row.send_at is None
    ]
    upsert = Upsert(("workspace", "id"), replace=("contact", "send_at"))
    await insert(tx, invitations, waiting, upsert=upsert)
    wake(tx, SEND)
    return {(row.workspace, row.event, row.source, row.trigger) for row in found}


async def _decide(tx: Tx, made: Sequence[Received[Any]]) -> dict[InvitationKey, Mapping[str, str]]:
    """Write that these were invited; the contact points of those whose decision was known, for it was pending."""
    keys = [(each.workspace, each.message.id) for each in made]
    found = await load(tx, decisions, [_D.workspace, _D.id], keys, lock=True)
    pending = {(row.workspace, row.id): row for row in found}
    rows = []
    for each in made:
        row = pending.get((each.workspace, each.message.id))
        rows.append(_decision(each, row.trace if row is not None else []))
    upsert = Upsert(("workspace", "id"), replace=_DECIDED)
    await insert(tx, decisions, rows, upsert=upsert)
    held: dict[tuple[str, str, str], dict[str, Any]] = {}
    for row in rows:  # in the order of their ids, so that of two the first holds it
        of = row["workspace"], row["trigger"], row["transaction_key"]
        held.setdefault(of, dict(zip(_HELD, of, strict=True)) | {"decision": row["id"]})
    # A decision that was pending when this database ended may hold it, and would invite once more.
    upsert = Upsert(_HELD, replace=("decision",))
    await insert(tx, holds, [held[of] for of in sorted(held)], upsert=upsert)
    return {key: (row.snapshot or {}).get("contact", {}) for key, row in pending.items()}


async def _save(tx: Tx, rows: Sequence[dict[str, Any]]) -> None:
    upsert = Upsert(("workspace", "id"), replace=_CHANGED, newer="revision")
    await insert(tx, invitations, rows, upsert=upsert)


def _row(received: Received[Any], contact: Mapping[str, str], *, known: bool) -> dict[str, Any]:
    message = received.message
    to_send = known and message.state in _TO_SEND
    return {
        "workspace": received.workspace,
        "id": message.id,
        "revision": message.revision,
        "state": str(message.state),
        "decision": message.id,
        "source": message.transaction.source,
        "event": message.transaction.id,
        "trigger": message.trigger,
        "customer": message.customer.id,
        "channel": message.channel,
        "document": encoded(message).data,
        "contact": contact,
        "made_at": message.made_at,
        "expires_at": message.expires_at,
        "changed_at": message.changed_at,
        "send_at": message.changed_at if to_send else None,
        "leased_until": None,
        "attempts": 0,
    }


def _decision(received: Received[Any], trace: Sequence[Any]) -> dict[str, Any]:
    message = received.message
    transaction = message.transaction
    made_at = message.made_at
    steps = [
        {"step": "restored", "at": received.appended_at.isoformat()},
        {"step": "invited", "passed": True},
    ]
    return {
        "workspace": received.workspace,
        "id": message.id,
        "source": transaction.source,
        "event": transaction.id,
        "trigger": message.trigger,
        "outcome": str(Outcome.INVITED),
        "reason": None,
        "customer": message.customer.id,
        "transaction_key": transaction.key or f"{transaction.source} {transaction.id}",
        "type": transaction.type,
        "event_time": transaction.time or made_at,
        "arrived_at": made_at,
        "decided_at": made_at,
        "trace": [*trace, *steps],
        "snapshot": {"dimensions": {n: [d.value, d.path] for n, d in message.dimensions.items()}},
        "invitation": message.id,
        "traceparent": received.traceparent,
        "priority": 0,
        "due_at": None,
        "leased_until": None,
    }
