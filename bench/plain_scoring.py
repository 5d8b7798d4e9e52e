"""The baseline of scoring: each response in a transaction of its own and each row in a statement of its own.

The same checks are made and the same tables written.
"""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from msgspec import structs
from sqlalchemy.dialects.postgresql import insert as pg_insert

from services.scoring import rules
from services.scoring.metrics import FIXED_SCALES
from services.scoring.tables import answers, cells, facts
from services.scoring.worker import decode_response
from shared.contracts.envelope import Received
from shared.db import Database, Tx
from shared.log import Record

ROLLUP: rules.Rollup = {"org": None, "product": None}


async def row_by_row(database: Database, told: Sequence[Sequence[Record]]) -> None:
    """Count what a consumer would be given, record by record."""
    for record in (record for batch in told for record in batch):
        received = decode_response(record)
        assert received is not None
        async with database.begin() as tx:
            await _count_one(tx, received)


async def _count_one(tx: Tx, received: Received[Any]) -> None:
    new = rules.fact_of(received.workspace, received.message, ROLLUP, FIXED_SCALES)
    key = sa.and_(facts.c.workspace == new.workspace, facts.c.response == new.response)
    row = {name: getattr(new, name) for name in facts.c.keys()}  # noqa: SIM118 - columns iterate as columns
    claimed = await tx.execute(pg_insert(facts).values(row).on_conflict_do_nothing())
    old: list[rules.Fact] = []
    if not claimed.rowcount:
        standing = (await tx.execute(sa.select(facts).where(key).with_for_update())).one()
        if standing.revision >= new.revision:
            return
        mine = sa.and_(answers.c.workspace == new.workspace, answers.c.response == new.response)
        said = (await tx.execute(sa.select(answers).where(mine))).all()
        counted = tuple(rules.Counted(a.question, a.value, a.metric, a.kind, a.scale) for a in said)
        old = [rules.Fact(**standing._mapping, counted=counted)]
        await tx.execute(sa.delete(answers).where(mine))
        await tx.execute(sa.update(facts).where(key).values(row))
    for one in new.counted:
        await tx.execute(
            pg_insert(answers).values(
                workspace=new.workspace, response=new.response, **structs.asdict(one)
            )
        )
    for cell, change in sorted(
        rules.delta(old, [new], ROLLUP).items(), key=lambda item: item[0].id
    ):
        values = structs.asdict(cell) | {"workspace": new.workspace, "id": cell.id, "n": change}
        upsert = pg_insert(cells).values(values | {"dimensions": dict(cell.dimensions)})
        added = {"n": cells.c.n + upsert.excluded.n}
        statement = upsert.on_conflict_do_update(index_elements=["workspace", "id"], set_=added)
        assert (await tx.execute(statement.returning(cells.c.n))).scalar_one() >= 0
