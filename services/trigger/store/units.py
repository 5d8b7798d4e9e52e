"""What a key may see by where the units stand now, in our copy of them."""

import sqlalchemy as sa

from services.trigger.definitions import UNIT
from services.trigger.tables import definition_copies
from shared.contracts.units import UnitTree
from shared.data_scope import DataScope, View
from shared.db import Tx


async def view_of(tx: Tx, workspace: str, data: DataScope) -> View:
    """What a data scope lets see."""
    if not data.needs_units:
        return data.view()
    c = definition_copies.c
    mine = sa.and_(c.workspace == workspace, c.kind == UNIT, c.state != "deleted")
    rows = await tx.execute(sa.select(c.id, c.document).where(mine))
    return data.view(UnitTree.of({row.id: row.document for row in rows}))
