"""Writes down what came of attempts: what arrived without a look at it, all else by what its delivery stands at.

A delivery that was deleted meanwhile stays so, and nothing is written of its attempts.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Annotated, Any, NamedTuple

import msgspec

from services.alerting.instruments import ANSWERED_TO_DELIVERED, DELIVERIES
from services.alerting.rules.sending import Standing, after_attempt
from services.alerting.store import claims as store
from services.alerting.store.claims import Claimed, DeliveryKey
from services.alerting.store.endpoints import pause_gone
from shared.db import Tx, after_commit, now
from shared.webhook import Outcome, Reply


class _Response(msgspec.Struct, frozen=True):
    changed_at: Annotated[datetime, msgspec.Meta(tz=True)] | None = None


class _Data(msgspec.Struct, frozen=True):
    response: _Response = _Response()


class _Body(msgspec.Struct, frozen=True):
    """Of a body, when the answer was stored that it tells of."""

    data: _Data = _Data()


_read_body = msgspec.json.Decoder(_Body).decode


class Turn(NamedTuple):
    """What came of a claimed delivery; without a reply it was not sent and is given back."""

    claimed: Claimed
    at: datetime
    reply: Reply | None = None
    outcome: Outcome | None = None


def once(turns: Iterable[Turn]) -> list[Turn]:
    """The first of them, up to where a delivery comes again, as one does whose lease ended before it was recorded."""
    found: dict[DeliveryKey, Turn] = {}
    for turn in turns:
        if turn.claimed.key in found:
            break
        found[turn.claimed.key] = turn
    return list(found.values())


async def record_arrived(tx: Tx, turns: Sequence[Turn]) -> None:
    """Write attempts, each at another delivery, that delivered."""
    at = await now(tx)
    numbers = await store.save_arrived(tx, [turn.claimed for turn in turns], at)
    made = [
        _attempt(turn, turn.reply, numbers[turn.claimed.key])
        for turn in turns
        if turn.reply is not None and turn.claimed.key in numbers
    ]
    await store.add_attempts(tx, made)
    after_commit(tx, lambda: _count_arrived(turns, numbers))


async def record_others(tx: Tx, turns: Sequence[Turn], jitter: Callable[[], float]) -> None:
    """Write attempts, each at another delivery, that did not, and what each leads to; give back what was not sent.

    An endpoint that answered 410 is paused. Endpoints are locked before deliveries, as when a definition is deleted.
    """
    at = await now(tx)
    gone = {
        (turn.claimed.workspace, turn.claimed.target.id, turn.claimed.target.revision)
        for turn in turns
        if turn.outcome == "gone"
    }
    if gone:
        await pause_gone(tx, gone, at)
    locked = await store.lock_deliveries(tx, [turn.claimed for turn in turns])
    rows = {(row.workspace, row.id): dict(row._mapping) for row in locked}
    made: list[dict[str, Any]] = []
    failed: Counter[str] = Counter()
    for turn in turns:
        row = rows.get(turn.claimed.key)
        if row is None:
            continue
        row["leased_until"] = None
        if turn.reply is not None:
            before = row["state"]
            row |= _after(row, turn.reply, at, jitter())
            if row["state"] == "failed" != before:
                failed[row["reason"]] += 1
            made.append(_attempt(turn, turn.reply, row["attempts"]))
    await store.save_deliveries(tx, list(rows.values()))
    await store.add_attempts(tx, made)
    for reason, times in failed.items():
        after_commit(tx, partial(DELIVERIES.labels(reason).inc, times))


def _count_arrived(turns: Sequence[Turn], numbers: Mapping[DeliveryKey, int]) -> None:
    """Count what arrived, and how long after the answer where the first attempt did it."""
    DELIVERIES.labels("delivered").inc(len(numbers))
    first = (turn for turn in turns if numbers.get(turn.claimed.key) == 1)
    ages = [age for turn in first if (age := _age(turn)) is not None]
    ANSWERED_TO_DELIVERED.labels().observe_all(ages)


def _age(turn: Turn) -> float | None:
    """How long the answer took to be told; None for what is about no answer, or waited for its endpoint."""
    try:
        answered_at = _read_body(turn.claimed.body).data.response.changed_at
    except msgspec.MsgspecError:
        return None  # a body of another version: what is counted of it must not end the sending
    if turn.reply is None or answered_at is None or answered_at < turn.claimed.target.active_from:
        return None
    age = (turn.at - answered_at).total_seconds() + turn.reply.duration_seconds
    return max(0.0, age)


def _after(row: dict[str, Any], reply: Reply, at: datetime, jitter: float) -> dict[str, Any]:
    """What an attempt changes of a delivery."""
    spent = row["spent"] + 1
    standing = Standing(row["state"], row["reason"], row["due_at"])
    after = after_attempt(standing, spent, reply, at, jitter)
    return {
        "attempts": row["attempts"] + 1,
        "spent": spent,
        "state": after.state,
        "reason": after.reason,
        "due_at": after.due_at,
        "changed_at": at,
    }


def _attempt(turn: Turn, reply: Reply, number: int) -> dict[str, Any]:
    return {
        "workspace": turn.claimed.workspace,
        "delivery": turn.claimed.id,
        "number": number,
        "at": turn.at,
        "outcome": turn.outcome,
        "status": reply.status,
        "error": reply.error,
        "body": reply.body,
        "duration_ms": round(reply.duration_seconds * 1_000),
    }
