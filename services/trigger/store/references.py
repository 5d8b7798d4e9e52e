"""Which definitions a trigger names that are not known here."""

from collections.abc import Sequence

from services.trigger.definitions import COPIED_KINDS
from services.trigger.tables import definition_copies, definitions
from shared.db import Tx, load
from shared.definitions import Reference


async def unresolved(tx: Tx, workspace: str, references: Sequence[Reference]) -> list[Reference]:
    """The references that name nothing, among our own definitions and our copies of others'."""
    known: set[tuple[str, str]] = set()
    for table, copied in ((definitions, False), (definition_copies, True)):
        t = table.c
        keys = [(workspace, r.kind, r.id) for r in references if (r.kind in COPIED_KINDS) is copied]
        rows = await load(tx, [t.kind, t.id, t.state], [t.workspace, t.kind, t.id], keys)
        known |= {(row.kind, row.id) for row in rows if row.state != "deleted"}
    return [reference for reference in references if (reference.kind, reference.id) not in known]
