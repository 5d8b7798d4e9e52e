"""What dimensions a workspace's cells keep apart, and which ones its responses ever brought."""

from collections.abc import Collection, Iterable, Sequence

import sqlalchemy as sa

from services.scoring.rules import Rollup
from services.scoring.tables import dimension_names, rollups
from shared.db import Tx, insert


async def hold(tx: Tx, workspaces: Collection[str], default: Sequence[str]) -> dict[str, Rollup]:
    """The roll-ups of the workspaces, which no rebuild changes until this transaction ends."""
    held = await _held(tx, workspaces)
    if missing := sorted(set(workspaces) - held.keys()):
        fresh = dict.fromkeys(default)
        rows = [{"workspace": workspace, "dimensions": fresh} for workspace in missing]
        await insert(tx, rollups, rows)
        held |= await _held(tx, missing)
    return held


async def take(tx: Tx, workspace: str, default: Sequence[str]) -> Rollup:
    """The roll-up of a workspace for a rebuild: waits for those who count in it, then keeps all others out."""
    await insert(tx, rollups, [{"workspace": workspace, "dimensions": dict.fromkeys(default)}])
    statement = sa.select(rollups.c.dimensions).where(rollups.c.workspace == workspace)
    taken: Rollup = (await tx.execute(statement.with_for_update())).scalar_one()
    return taken


async def declare(tx: Tx, workspace: str, rollup: Rollup) -> None:
    """Keep these dimensions apart from now on; the caller has taken the roll-up and rewrites the cells."""
    mine = sa.update(rollups).where(rollups.c.workspace == workspace)
    await tx.execute(mine.values(dimensions=dict(rollup)))


async def of(tx: Tx, workspace: str, default: Sequence[str]) -> Rollup:
    """The roll-up of a workspace as it is now, without holding it."""
    statement = sa.select(rollups.c.dimensions).where(rollups.c.workspace == workspace)
    found: Rollup | None = (await tx.execute(statement)).scalar()
    return dict.fromkeys(default) if found is None else found


async def remember_names(tx: Tx, names: Iterable[tuple[str, str]]) -> None:
    """Note that these dimensions, each with its workspace, came with responses."""
    rows = [{"workspace": workspace, "name": name} for workspace, name in sorted(names)]
    await insert(tx, dimension_names, rows)


async def brought_names(tx: Tx, workspace: str) -> set[str]:
    """The names of the dimensions that responses of the workspace brought."""
    statement = sa.select(dimension_names.c.name).where(dimension_names.c.workspace == workspace)
    return set((await tx.execute(statement)).scalars())


async def _held(tx: Tx, workspaces: Collection[str]) -> dict[str, Rollup]:
    statement = (
        sa.select(rollups.c.workspace, rollups.c.dimensions)
        .where(rollups.c.workspace.in_(sorted(workspaces)))
        .order_by(rollups.c.workspace)
        .with_for_update(read=True)
    )
    return {row.workspace: row.dimensions for row in await tx.execute(statement)}
