"""Facts and their answers: claimed once per revision, loaded and replaced in bulk."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa

from services.scoring.rules import Counted, Fact
from services.scoring.tables import answers, facts
from shared.db import Tx, Upsert, append, delete, insert, load, update
from shared.telemetry import log

_COLUMNS = tuple(column.name for column in facts.c)
_STATE = tuple(name for name in _COLUMNS if name not in ("workspace", "response"))
_NEWER = Upsert(("workspace", "response"), replace=_STATE, newer="revision")
_KEY = (facts.c.workspace, facts.c.response)
_COUNTS = [column for column in facts.c if column.name not in ("transaction_was", "customer_was")]
"""What a fact counts by; what was is wide, and nothing is derived from it again while counting."""
_RESPONSE = (answers.c.workspace, answers.c.response)
_FORGOTTEN: Final = "forgotten"
_FORGET = (
    sa.update(facts)
    .values(
        state=sa.literal_column(f"'{_FORGOTTEN}'"),
        customer=sa.null(),
        dimensions=sa.literal_column("'{}'"),
        derived=sa.literal_column("'{}'"),
        transaction_was=sa.null(),
        customer_was=sa.null(),
    )
    .returning(facts.c.response)
)

Key = tuple[str, str]


async def claim(tx: Tx, wanted: Sequence[Fact]) -> tuple[list[Fact], list[Fact]]:
    """Write the facts that are newer than what stands; return what they replace and what is new of them.

    The rows stay locked until the transaction ends, in key order: insert first, so that a response seen for the
    first time locks too, then lock those that stood already.
    """
    ordered = sorted(wanted, key=lambda fact: fact.key)
    claimed = await insert(
        tx, facts, [_row(fact) for fact in ordered], returning=("workspace", "response")
    )
    if len(claimed) == len(ordered):
        return [], ordered
    fresh = {(row.workspace, row.response) for row in claimed}
    rest = {fact.key: fact for fact in ordered if fact.key not in fresh}
    standing = await load(tx, _COUNTS, _KEY, list(rest), lock=True)
    replaced = _replaceable(
        row for row in standing if row.revision < rest[row.workspace, row.response].revision
    )
    newer = [rest[row.workspace, row.response] for row in replaced]
    said = await load(tx, answers, _RESPONSE, [fact.key for fact in newer])
    await insert(tx, facts, [_row(fact) for fact in newer], upsert=_NEWER)
    return _joined(replaced, said), [fact for fact in ordered if fact.key in fresh] + newer


async def replace_answers(tx: Tx, old: Sequence[Fact], new: Sequence[Fact]) -> None:
    """Let the answers of the new facts stand where those of the old ones stood; the rows' facts are locked, so that no
    other answers can be there."""
    for workspace, responses in _by_workspace(fact for fact in old if fact.counted).items():
        gone = sa.and_(answers.c.workspace == workspace, answers.c.response.in_(responses))
        await tx.execute(sa.delete(answers).where(gone))
    rows = [
        {
            "workspace": fact.workspace,
            "response": fact.response,
            "question": one.question,
            "value": one.value,
            "metric": one.metric,
            "kind": one.kind,
            "scale": one.scale,
        }
        for fact in new
        for one in fact.counted
    ]
    await append(tx, answers, rows)


async def page(tx: Tx, workspace: str, after: str, limit: int) -> list[Fact]:
    """Up to `limit` facts of the workspace behind a response id, with their answers, in the order of ids; those that
    are forgotten left out."""
    statement = (
        sa.select(facts)
        .where(
            facts.c.workspace == workspace,
            facts.c.response > after,
            facts.c.state != _FORGOTTEN,
        )
        .order_by(facts.c.response)
        .limit(limit)
    )
    rows = (await tx.execute(statement)).all()
    if not rows:
        return []
    span = answers.c.response.between(rows[0].response, rows[-1].response)
    said = await tx.execute(sa.select(answers).where(answers.c.workspace == workspace, span))
    return _joined(rows, said.all())


async def derive_again(tx: Tx, changed: Sequence[Fact]) -> None:
    """Store the derived dimensions of these facts; their workspace is taken for a rebuild."""
    again = Upsert(("workspace", "response"), replace=("derived",))
    await insert(tx, facts, [_row(fact) for fact in changed], upsert=again)


async def take_old(tx: Tx, keys: Sequence[Key], before: datetime) -> list[Fact]:
    """Those of these facts that still say something and have not changed since, with their answers, locked in key
    order; the roll-ups of their workspaces are held."""
    rows = await load(tx, _COUNTS, _KEY, sorted(keys), lock=True)
    old = [row for row in rows if row.state == "submitted" and row.changed_at < before]
    said = await load(tx, answers, _RESPONSE, [(row.workspace, row.response) for row in old])
    return _joined(old, said)


async def forget(tx: Tx, old: Sequence[Fact]) -> None:
    """Leave of these facts, which are locked, that they were counted, and no more."""
    keys = [fact.key for fact in old]
    await delete(tx, answers, _RESPONSE, keys)
    await update(tx, _FORGET, _KEY, keys)


def _replaceable(rows: Iterable[sa.Row[Any]]) -> list[sa.Row[Any]]:
    """Without those of which is not known any longer what they count as: it could not be taken back."""
    found = []
    for row in rows:
        if row.state == _FORGOTTEN:
            log.warning("forgotten_response", workspace=row.workspace, response=row.response)
        else:
            found.append(row)
    return found


def _joined(rows: Iterable[sa.Row[Any]], said: Iterable[sa.Row[Any]]) -> list[Fact]:
    counted: dict[Key, list[Counted]] = defaultdict(list)
    for row in said:
        counted[row.workspace, row.response].append(
            Counted(row.question, row.value, row.metric, row.kind, row.scale)
        )
    return [
        Fact(**row._mapping, counted=tuple(counted[row.workspace, row.response])) for row in rows
    ]


def _row(fact: Fact) -> dict[str, Any]:
    return {name: getattr(fact, name) for name in _COLUMNS}


def _by_workspace(some: Iterable[Fact]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for fact in some:
        found[fact.workspace].append(fact.response)
    return found
