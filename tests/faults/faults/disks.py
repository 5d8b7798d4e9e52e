"""Disks that are full: the broker's, the database's.

Finds a build that answers 202 for what was not written, or 500, or that does not go on once there is space.
"""

import asyncio
import random

from tests.faults.distributed import Distributed, Fault
from tests.faults.laboratory import after
from tests.support import eventually

BROKER, DATABASE = 0, 1


def disk_full(which: int) -> Fault:
    """No byte left: what cannot be kept is answered 503. A server that ends itself over it is started again once
    there is space, as its operator would do."""

    async def fault(lab: Distributed, rng: random.Random) -> None:
        disk = lab.disks[which]
        answered = lab.workload.ledger.statuses
        before = answered[503]

        async def refused() -> bool:
            await asyncio.to_thread(disk.fill)  # also what the server has cleared away
            return answered[503] > before + 5

        try:
            await eventually(refused, seconds=90, every=0.2, what="a 503 on a full disk")
            await after(rng.uniform(1.0, 5.0))
        finally:
            disk.free()
        server = (lab.broker, lab.postgres)[which]
        if not server.running:
            await asyncio.to_thread(server.start)

    return fault
