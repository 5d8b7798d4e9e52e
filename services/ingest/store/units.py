"""The units of a workspace: all of them, those above others, and what a key may see by them."""

from collections.abc import Sequence
from typing import Any

from services.ingest.definitions import UNIT
from services.ingest.tables import definitions
from shared.contracts.units import MAX_DEPTH, UnitTree
from shared.data_scope import DataScope, View
from shared.db import Tx, load
from shared.definitions.store import list_definitions

_MOST = 100_000


async def tree(tx: Tx, workspace: str) -> UnitTree:
    """All units, where they stand now."""
    units = await list_definitions(tx, definitions, workspace, UNIT.name, limit=_MOST)
    return UnitTree.of({unit.id: unit.document for unit in units})


async def view_of(tx: Tx, workspace: str, data: DataScope) -> View:
    """What a data scope lets see, by where the units stand now."""
    return data.view(await tree(tx, workspace)) if data.needs_units else data.view()


async def tree_above(tx: Tx, workspace: str, ids: Sequence[str]) -> UnitTree:
    """These units with all that is above them, locked: two writes cannot close a circle together."""
    d = definitions.c
    documents: dict[str, dict[str, Any]] = {}
    level = set(ids)
    for _ in range(MAX_DEPTH + 1):
        keys = sorted((workspace, UNIT.name, id) for id in level)
        rows = await load(tx, definitions, [d.workspace, d.kind, d.id], keys, lock=True)
        documents |= {row.id: row.document for row in rows if row.state != "deleted"}
        parents = {documents[row.id].get("parent") for row in rows if row.id in documents}
        level = {parent for parent in parents if parent is not None} - documents.keys()
        if not level:
            break
    return UnitTree.of(documents)
