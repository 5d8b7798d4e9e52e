"""Faults of the database and of the network to it.

Finds a build that answers a purchase or a form before it is committed, does twice what it was not told of, hangs with
its database, or needs a restart to find it again.
"""

import asyncio
import random

from tests.faults.distributed import Distributed
from tests.faults.laboratory import after
from tests.support import eventually

_HOT = (
    "trigger.seen",
    "trigger.outbox",
    "ingest.responses",
    "scoring.facts",
    "alerting.deliveries",
)


async def database_killed(lab: Distributed, rng: random.Random) -> None:
    await asyncio.to_thread(lab.postgres.kill)
    await after(rng.uniform(0.5, 5.0))
    await asyncio.to_thread(lab.postgres.start)


async def backends_terminated(lab: Distributed, rng: random.Random) -> None:
    """Every connection ended by the server, again and again."""
    for _ in range(4):
        await asyncio.to_thread(lab.postgres.terminate_backends)
        await after(rng.uniform(0.2, 1.5))


async def commit_in_doubt(lab: Distributed, rng: random.Random) -> None:
    """The connection breaks after a COMMIT has happened and before its answer."""
    cut = lab.proxy.cut
    lab.proxy.cut_after_commits = rng.randint(1, 25)

    async def happened() -> bool:
        return lab.proxy.cut > cut

    await eventually(happened, seconds=30, every=0.05, what="a COMMIT")


async def database_cut_off(lab: Distributed, rng: random.Random) -> None:
    """The network to the database drops everything for a while, then resets what was open."""
    lab.proxy.pause()
    await after(rng.uniform(2.0, 8.0))
    lab.proxy.cut_all()
    lab.proxy.resume()


async def table_locked(lab: Distributed, rng: random.Random) -> None:
    """Somebody holds a busy table, mostly for longer than anybody waits for a lock."""
    async with lab.sql() as connection, connection.transaction():
        await connection.execute(f"LOCK TABLE {rng.choice(_HOT)} IN ACCESS EXCLUSIVE MODE")
        await after(rng.uniform(5.0, 15.0))
