"""Faults of the broker: killed, hung."""

import asyncio
import random

from tests.faults.distributed import Distributed, Fault
from tests.faults.laboratory import after


async def broker_killed(lab: Distributed, rng: random.Random) -> None:
    await asyncio.to_thread(lab.broker.kill)
    await after(rng.uniform(0.5, 5.0))
    await asyncio.to_thread(lab.broker.start)


def broker_frozen(seconds: float) -> Fault:
    """The broker hangs: nothing is answered and no connection breaks."""

    async def fault(lab: Distributed, rng: random.Random) -> None:
        lab.broker.freeze()
        try:
            await after(seconds)
        finally:
            lab.broker.thaw()

    return fault
