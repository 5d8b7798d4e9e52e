"""Invitations: inserting them, moving them from state to state, and announcing each change whole."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Final

import msgspec
import sqlalchemy as sa

from services.trigger.instruments import INVITATIONS
from services.trigger.invitations import Made, invitation_rows
from services.trigger.store.decisions import traces_of
from services.trigger.tables import invitations, outbox
from shared.contracts.envelope import encoded
from shared.contracts.keys import Key
from shared.contracts.messages import InvitationChanged
from shared.contracts.values import InvitationState
from shared.db import (
    Due,
    Prepared,
    Tx,
    Upsert,
    UtcDateTime,
    after_commit,
    append,
    insert,
    load,
    now,
    wake,
)
from shared.outbox import announce

SOURCE: Final = "trigger"
OPEN: Final = frozenset({"made", "sending", "sent", "failed", "uncertain"})
"""The states from which an invitation can still be answered, expire or be stopped."""
SEND: Final = "send"
"""The signal that something is to be sent."""
_EXPIRE_BATCH = 500
_I = invitations.c
_SENDINGS = Due(
    invitations, due=_I.send_at, leased_until=_I.leased_until, where=_I.send_at.is_not(None)
)
_EXPIRED = Prepared(
    sa.select(invitations)
    .where(
        _I.state.in_([sa.literal_column(f"'{state}'") for state in sorted(OPEN)]),
        _I.expires_at <= sa.bindparam("at", type_=UtcDateTime),
    )
    .order_by(_I.expires_at)
    .limit(sa.literal_column(str(_EXPIRE_BATCH)))
    .with_for_update(skip_locked=True)
)


@dataclass(frozen=True)
class Change:
    """A locked invitation that moves to another state, and what else is written with it; the trace of what moved it,
    where that is not what is handled at the moment."""

    row: Any
    state: InvitationState
    send_at: datetime | None = None
    leased_until: datetime | None = None
    attempts: int | None = None
    last_error: str | None = None
    traceparent: str | None = None


async def save_invitations(tx: Tx, made: Sequence[Made], at: datetime) -> None:
    """Insert new invitations and announce them, in the order made."""
    if not made:
        return
    await append(tx, invitations, invitation_rows(made))
    await announce(
        tx,
        outbox,
        SOURCE,
        at,
        [(Key(each.occasion.workspace, each.occasion.customer_id), each.message) for each in made],
        traceparents=[each.occasion.traceparent for each in made],
    )
    _count(tx, [each.state for each in made])
    if any(each.state is InvitationState.MADE for each in made):
        wake(tx, SEND)


async def lock_invitations(tx: Tx, keys: Collection[tuple[str, str]]) -> list[sa.Row[Any]]:
    """Lock invitations by workspace and id, in that order; unknown ones are left out."""
    i = invitations.c
    return await load(tx, invitations, [i.workspace, i.id], sorted(set(keys)), lock=True)


async def change_invitations(tx: Tx, changes: Sequence[Change], at: datetime) -> None:
    """Write the next revision of locked invitations and announce those whose state moved."""
    if not changes:
        return
    changed_at = at.replace(microsecond=at.microsecond // 1_000 * 1_000)
    rows, announcements, traceparents = [], [], []
    for change in changes:
        moved = change.row.state != change.state
        message = InvitationChanged.model_validate(
            change.row.document
            | (
                {
                    "state": change.state,
                    "revision": change.row.revision + 1,
                    "changed_at": changed_at,
                }
                if moved
                else {}
            )
        )
        announced = encoded(message)
        rows.append(_row(change, message, announced.data))
        if moved:
            announcements.append((Key(change.row.workspace, message.customer.id), announced))
            traceparents.append(change.traceparent)
    replace = (
        "revision",
        "state",
        "document",
        "changed_at",
        "send_at",
        "leased_until",
        "attempts",
        "last_error",
    )
    await insert(tx, invitations, rows, upsert=Upsert(("workspace", "id"), replace=replace))
    await announce(tx, outbox, SOURCE, at, announcements, traceparents=traceparents)
    _count(tx, [change.state for change in changes if change.row.state != change.state])


async def answer_invitations(tx: Tx, answered: Mapping[tuple[str, str], str | None]) -> None:
    """Those that were answered, with the trace of the answer; one that was on its way when the link expired counts."""
    rows = await lock_invitations(tx, answered)
    changes = [
        Change(row, InvitationState.ANSWERED, traceparent=answered[(row.workspace, row.id)])
        for row in rows
        if row.state in OPEN or row.state == InvitationState.EXPIRED
    ]
    await change_invitations(tx, changes, await now(tx))


async def stop_invitations(tx: Tx, customers: Collection[tuple[str, str]]) -> None:
    """Stop the open invitations of customers who do not want to be asked."""
    i = invitations.c
    found = await load(
        tx, [i.workspace, i.id, i.state], [i.workspace, i.customer], sorted(customers)
    )
    rows = await lock_invitations(
        tx, [(row.workspace, row.id) for row in found if row.state in OPEN]
    )
    changes = [Change(row, InvitationState.STOPPED) for row in rows if row.state in OPEN]
    await change_invitations(tx, changes, await now(tx))


async def claim_sendings(
    tx: Tx, *, limit: int, lease_seconds: float
) -> list[tuple[sa.Row[Any], str | None]]:
    """Lease invitations that a channel has to send now, each with its event's trace, and announce those that begin to
    be sent."""
    rows = await _SENDINGS.claim(tx, limit=limit, lease_seconds=lease_seconds)
    traces = await traces_of(tx, [(row.workspace, row.decision) for row in rows])
    claimed = [(row, traces.get((row.workspace, row.decision))) for row in rows]
    begun = [
        Change(
            row,
            InvitationState.SENDING,
            send_at=row.send_at,
            leased_until=row.leased_until,
            traceparent=traceparent,
        )
        for row, traceparent in claimed
        if row.state == InvitationState.MADE
    ]
    await change_invitations(tx, begun, await now(tx))
    return claimed


async def expire_invitations(tx: Tx) -> int:
    """Expire a batch of open invitations whose time has passed, skipping what another worker holds."""
    at = await now(tx)
    rows = await _EXPIRED.rows(tx, at=at)
    await change_invitations(tx, [Change(row, InvitationState.EXPIRED) for row in rows], at)
    return len(rows)


def _count(tx: Tx, reached: Iterable[InvitationState]) -> None:
    for state, times in Counter(reached).items():
        after_commit(tx, partial(INVITATIONS.labels(state).inc, times))


def _row(change: Change, message: InvitationChanged, document: msgspec.Raw) -> dict[str, Any]:
    row = dict(change.row._mapping)
    return row | {
        "revision": message.revision,
        "state": str(message.state),
        "document": document,
        "changed_at": message.changed_at,
        "send_at": change.send_at,
        "leased_until": change.leased_until,
        "attempts": row["attempts"] if change.attempts is None else change.attempts,
        "last_error": row["last_error"] if change.last_error is None else change.last_error,
    }
