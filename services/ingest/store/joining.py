"""What a response without an invitation is joined with: the customer as it is now, and the unit that it names."""

from collections.abc import Mapping

from services.ingest.store import units
from services.ingest.store.customers import get_customer
from shared.contracts.units import ORG
from shared.contracts.values import CustomerSnapshot, Dimension
from shared.db import Tx


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
    """The dimensions, the one whose values are units with the unit and the path that its value names."""
    found = {name: Dimension(value=value, path=value) for name, value in dimensions.items()}
    if ORG in dimensions:
        found[ORG] = (await units.tree(tx, workspace)).dimension(dimensions[ORG])
    return found
