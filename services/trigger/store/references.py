"""Which definitions a trigger names that are not known here."""

from collections.abc import Sequence

from services.trigger.definitions import COPIED_KINDS, JOURNEY, TOUCHPOINT
from services.trigger.tables import definition_copies, definitions
from shared.db import Tx, load
from shared.definitions import Reference


async def unresolved(tx: Tx, workspace: str, references: Sequence[Reference]) -> list[Reference]:
    """The references that name nothing, among our own definitions and our copies of others'."""
    known: set[tuple[str, str]] = set()
    for table, copied in ((definitions, False), (definition_copies, True)):
        t = table.c
        keys = [(workspace, r.kind, r.id) for r in references if (r.kind in COPIED_KINDS) is copied]
        columns = [t.kind, t.id, t.state, t.document]
        rows = await load(tx, columns, [t.workspace, t.kind, t.id], keys)
        live = [row for row in rows if row.state != "deleted"]
        known |= {(row.kind, row.id) for row in live}
        # A touchpoint is named beside its journey, as JOURNEY/TOUCHPOINT.
        journeys = [row for row in live if row.kind == JOURNEY]
        known |= {
            (TOUCHPOINT, f"{row.id}/{each['id']}")
            for row in journeys
            for each in row.document.get("touchpoints", ())
        }
    return [reference for reference in references if (reference.kind, reference.id) not in known]
