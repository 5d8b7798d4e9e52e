"""Cancelled transactions: remembered for events that come later, and applied to what is pending."""

from collections.abc import Sequence
from datetime import datetime
from functools import partial

from services.trigger.batch import Cancellation, cancelled
from services.trigger.instruments import DECISIONS
from services.trigger.store.decisions import lock_pending, save_verdicts
from services.trigger.tables import cancellations, holds
from services.trigger.verdicts import HoldKey, Outcome, Reason
from shared.db import Tx, after_commit, insert, load


async def save(tx: Tx, found: Sequence[Cancellation], now: datetime) -> None:
    """Remember the cancellations, and cancel the pending decisions that hold their transactions."""
    if not found:
        return
    first: dict[HoldKey, Cancellation] = {}
    for each in found:
        first.setdefault(each.key, each)
    await insert(tx, cancellations, [_row(first[key]) for key in sorted(first)])
    h = holds.c
    held = await load(tx, holds, [h.workspace, h.trigger, h.transaction_key], sorted(first))
    rows = await lock_pending(tx, [(row.workspace, row.decision) for row in held])
    verdicts = []
    for row in rows:
        key = (row.workspace, row.trigger, row.transaction_key)
        verdicts.append((row, cancelled(key, first[key].by)))
    await save_verdicts(tx, verdicts, now)
    counter = DECISIONS.labels(Outcome.CANCELLED, Reason.CANCEL_ON)
    after_commit(tx, partial(counter.inc, len(verdicts)))


def _row(cancellation: Cancellation) -> dict[str, object]:
    received = cancellation.received
    workspace, trigger, transaction = cancellation.key
    return {
        "workspace": workspace,
        "trigger": trigger,
        "transaction_key": transaction,
        "source": received.message.source,
        "event": received.message.id,
        "type": received.message.type,
        "arrived_at": received.appended_at,
    }
