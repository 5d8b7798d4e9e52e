"""The database lost, and an older one in its place, while Kafka has gone on.

Finds a build that asks again whom it has asked since the backup, jumps over what it had read, or forgets what it had
accepted and announced.
"""

import asyncio
import random
import signal
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

from services.cli.paths import SERVICES
from tests.faults.distributed import Distributed
from tests.faults.laboratory import after
from tests.support import eventually


async def restored(lab: Distributed, rng: random.Random) -> None:
    """Back up under load, go on, kill everything, restore. What stands in an outbox then is lost with its database, so
    the outboxes are waited for."""
    with tempfile.TemporaryDirectory() as directory:
        backup = Path(directory) / "backup"
        await asyncio.to_thread(lab.postgres.dump, lab.database_url, backup)
        await after(rng.uniform(2.0, 8.0))
        async with lab.workload.resting():
            await eventually(_announced(lab), seconds=60, every=0.05, what="empty outboxes")
            for process in lab.system.processes.values():
                process.end(signal.SIGKILL)
            await asyncio.to_thread(lab.postgres.restore, lab.database_url, backup)
            await lab.restart(*lab.system.processes.values())


def _announced(lab: Distributed) -> Callable[[], Awaitable[bool]]:
    async def look() -> bool:
        async with lab.sql() as connection:
            tables = " UNION ALL ".join(f"SELECT 1 FROM {each}.outbox" for each in SERVICES)
            return not await connection.fetch(tables)

    return look
