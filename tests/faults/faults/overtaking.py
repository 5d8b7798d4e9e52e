"""Answers that overtake the copy of their invitation.

Finds a build that turns such an answer away, loses it, or counts it twice once the copy is here.
"""

import random
import time

from tests.faults.distributed import Distributed
from tests.support import eventually

_TAKEN_BY_NOBODY = """UPDATE trigger.leases SET holder = 'nobody', until = clock_timestamp() + interval '3 seconds'
WHERE name = 'outbox'"""
_PARKED = 3


async def copies_late(lab: Distributed, rng: random.Random) -> None:
    """The lease of trigger's relay is held by one who does nothing: invitations can be read and answered, and nobody
    is told of them for a while."""
    ends = time.monotonic() + rng.uniform(3.0, 8.0)
    async with lab.sql() as connection:

        async def overtaken() -> bool:
            await connection.execute(_TAKEN_BY_NOBODY)
            found = await lab.workload.client.get("/v1/responses", params={"state": "parked"})
            return len(found.json()["items"]) >= _PARKED and time.monotonic() > ends

        await eventually(overtaken, seconds=60, every=0.3, what=f"{_PARKED} answers that wait")
