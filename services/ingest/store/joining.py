"""What a response without an invitation is joined with: the customer as it is now, and the units of its dimensions."""

from collections.abc import Mapping

from services.ingest.definitions import UNIT
from services.ingest.store.customers import get_customer
from services.ingest.tables import definitions
from shared.contracts.units import UnitTree
from shared.contracts.values import CustomerSnapshot, Dimension
from shared.db import Tx
from shared.definitions.store import list_definitions

_MOST_UNITS = 100_000


async def snapshot(tx: Tx, workspace: str, id: str) -> CustomerSnapshot:
    """The customer as it is known now; of one that is not known, only the id."""
    known = await get_customer(tx, workspace, id)
    if known is None:
        return CustomerSnapshot(id=id)
    profile = known.profile
    return CustomerSnapshot(
        id=id, attributes=profile.attributes, locale=profile.locale, time_zone=profile.time_zone
    )


async def resolve(tx: Tx, workspace: str, dimensions: Mapping[str, str]) -> dict[str, Dimension]:
    """The dimensions with the unit and the path that their values name."""
    if not dimensions:
        return {}
    units = await list_definitions(tx, definitions, workspace, UNIT.name, limit=_MOST_UNITS)
    tree = UnitTree.of({unit.id: unit.document for unit in units})
    return {name: tree.dimension(value) for name, value in dimensions.items()}
