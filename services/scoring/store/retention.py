"""What scoring keeps for how long: what single responses said. What they count as stays, for ever."""

from collections.abc import Sequence
from datetime import date, datetime
from functools import partial

import sqlalchemy as sa

from services.scoring import rules
from services.scoring.store import cells, rollups
from services.scoring.store import facts as store
from services.scoring.tables import facts
from shared.db import Tx
from shared.kept import Before, Kept
from shared.kept_days import COMES_BACK_DAYS

_F = facts.c
_SAYS = _F.state == sa.literal_column("'submitted'")
"""A literal, so that the index by age will do."""


def kept(answers_days: int, rollup: Sequence[str]) -> list[Kept]:
    """The class of data of scoring. Facts are kept for longer than the answers they are of: what ingest said about one
    last, that it was deleted, must find what is to be taken back."""
    return [
        Kept(
            "answers",
            answers_days + COMES_BACK_DAYS if answers_days else 0,
            ("facts", "answers"),
            oldest=_oldest,
            count=_count,
            delete=partial(_forget, rollup=rollup),
        )
    ]


async def _forget(tx: Tx, before: Before, limit: int, *, rollup: Sequence[str]) -> int:
    """Note in the cells what these facts count as, then leave of each only that it was counted. Locks are taken in the
    order in which counting takes them."""
    first = sa.select(_F.workspace, _F.response).where(_SAYS, _F.changed_at < before.at)
    found = await tx.execute(first.order_by(_F.changed_at).limit(limit))
    keys = [(row.workspace, row.response) for row in found]
    held = await rollups.hold(tx, {workspace for workspace, _ in keys}, rollup)
    old = await store.take_old(tx, keys, before.at)
    await cells.keep(tx, rules.changes((), old, held))
    await store.forget(tx, old)
    return len(old)


async def _count(tx: Tx, before: Before, most: int) -> int:
    some = sa.select(_F.response).where(_SAYS, _F.changed_at < before.at).limit(most).subquery()
    return int((await tx.execute(sa.select(sa.func.count()).select_from(some))).scalar_one())


async def _oldest(tx: Tx) -> date | None:
    statement = sa.select(_F.changed_at).where(_SAYS).order_by(_F.changed_at).limit(1)
    oldest: datetime | None = (await tx.execute(statement)).scalar()
    return oldest.date() if oldest else None
