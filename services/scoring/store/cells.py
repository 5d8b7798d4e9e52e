"""The cells of the histograms: added to in bulk, compared with the facts, put right."""

from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any

import sqlalchemy as sa

from services.scoring.rules import Cell, CountBroken
from services.scoring.tables import cells
from shared.db import Tx, Upsert, insert, load

Row = dict[str, Any]
_KEY = ("workspace", "id")
_ADD = Upsert(_KEY, add=("n",))
_KEEP = Upsert(_KEY, add=("forgotten",))
_REPLACE = Upsert(_KEY, replace=("n", "forgotten"))
_KEY_OF = itemgetter(*_KEY)
_COUNT = [cells.c.workspace, cells.c.id, cells.c.metric, cells.c.n]


def rows_of(changes: Mapping[tuple[str, Cell], int]) -> list[Row]:
    """What `add` is to add for these changes, in key order."""
    found = [_row(workspace, cell, change) for (workspace, cell), change in changes.items()]
    found.sort(key=_KEY_OF)
    return found


async def add(tx: Tx, rows: Sequence[Row]) -> None:
    """Add what `rows_of` made to the cells, which stay locked until the transaction ends. Raises `CountBroken` when one
    would count less than nothing."""
    await insert(tx, cells, rows, upsert=_ADD)
    taken = [_KEY_OF(row) for row in rows if row["n"] < 0]
    for row in await load(tx, _COUNT, [cells.c.workspace, cells.c.id], taken):
        if row.n < 0:
            raise CountBroken(
                f"the cell {row.id} of {row.metric} in {row.workspace} would count {row.n}: rebuild"
            )


async def keep(tx: Tx, counts: Mapping[tuple[str, Cell], int]) -> None:
    """Note how much of the cells no fact will say any longer, in key order. What they count stays as it is."""
    rows = [_row(workspace, cell, 0) | {"forgotten": n} for (workspace, cell), n in counts.items()]
    rows.sort(key=_KEY_OF)
    await insert(tx, cells, rows, upsert=_KEEP)


async def counts(tx: Tx, workspace: str) -> dict[str, int]:
    """How much each cell of the workspace counts, by its id."""
    statement = sa.select(cells.c.id, cells.c.n).where(cells.c.workspace == workspace)
    return {row.id: row.n for row in await tx.execute(statement)}


async def forgotten(tx: Tx, workspace: str) -> dict[Cell, int]:
    """How much each cell of the workspace counts that no fact says any longer, where that is anything."""
    c = cells.c
    statement = sa.select(cells).where(c.workspace == workspace, c.forgotten > 0)
    return {_cell(row): row.forgotten for row in await tx.execute(statement)}


async def put_right(
    tx: Tx,
    workspace: str,
    right: Mapping[Cell, int],
    forgotten: Mapping[Cell, int],
    gone: Iterable[str],
) -> None:
    """Make these cells count what is right, of which so much is forgotten, and remove those of these ids; the workspace
    is taken for a rebuild."""
    rows = [
        _row(workspace, cell, n) | {"forgotten": forgotten.get(cell, 0)}
        for cell, n in right.items()
    ]
    rows.sort(key=_KEY_OF)
    await insert(tx, cells, rows, upsert=_REPLACE)
    ids = sorted(gone)
    for start in range(0, len(ids), 10_000):
        chunk = cells.c.id.in_(ids[start : start + 10_000])
        await tx.execute(sa.delete(cells).where(cells.c.workspace == workspace, chunk))


def _cell(row: sa.Row[Any]) -> Cell:
    there = {name: row._mapping[name] for name in Cell.__struct_fields__}
    return Cell(**there | {"dimensions": tuple(sorted(row.dimensions.items()))})


def _row(workspace: str, cell: Cell, n: int) -> Row:
    return {
        "workspace": workspace,
        "id": cell.id,
        "metric": cell.metric,
        "survey": cell.survey,
        "question": cell.question,
        "kind": cell.kind,
        "scale": cell.scale,
        "journey": cell.journey,
        "touchpoint": cell.touchpoint,
        "day": cell.day,
        "dimensions": dict(cell.dimensions),
        "value": cell.value,
        "n": n,
    }
