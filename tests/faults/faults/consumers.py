"""Faults of consumer groups: members that come, go and wake up late, offsets that are lost.

Finds a build that relies on offsets instead of natural keys, in which two members count the same record, or whose loop
ends with a rebalance.
"""

import asyncio
import random
import signal

from tests.faults.distributed import SESSION_SECONDS, Distributed
from tests.faults.laboratory import after


async def zombie(lab: Distributed, rng: random.Random) -> None:
    """A consumer stops in mid-air for longer than its session, another takes over, and it wakes up again."""
    process = lab.processes(rng.choice(["trigger", "scoring", "alerting"]))[0]
    process.signal(signal.SIGSTOP)
    try:
        await after(SESSION_SECONDS + rng.uniform(1.0, 3.0))
    finally:
        process.signal(signal.SIGCONT)


async def rebalances(lab: Distributed, rng: random.Random) -> None:
    """Replicas come and go, some in good order and some not."""
    for _ in range(3):
        service = rng.choice(["trigger", "scoring", "alerting"])
        process = lab.processes(service)[1]
        how = rng.choice([signal.SIGTERM, signal.SIGKILL])
        await asyncio.to_thread(process.end, how)
        await after(rng.uniform(0.0, 2.0))
        await lab.restart(process)


async def offsets_reset(lab: Distributed, rng: random.Random) -> None:
    """A group's offsets are lost: everything that the log still holds comes again."""
    service = rng.choice(["trigger", "scoring", "alerting"])
    processes = lab.processes(service)
    for process in processes:
        await asyncio.to_thread(process.end)
    prefix = lab.system.environment["AFTERWORD_LOG_URL"].partition("prefix=")[2].partition("&")[0]
    await asyncio.to_thread(lab.broker.delete_group, prefix + service)
    await lab.restart(*processes)
