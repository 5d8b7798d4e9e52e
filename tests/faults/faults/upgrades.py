"""This release takes over from the previous one, and gives way to it again, while clients go on.

Finds a migration that the previous code cannot work on, a message that one of the two cannot read, an order of things
that is not said anywhere, and a process that ends without finishing what it has begun.
"""

import asyncio
import random
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from services.cli.compose import schema_of
from services.cli.paths import SERVICES
from tests.e2e.system import Process, prepare
from tests.faults.laboratory import after
from tests.faults.previous import NOW
from tests.faults.releases import Releases

_WHILE = 1.0
"""How long things are left as they are between two steps."""


async def there_and_back(lab: Releases, rng: random.Random) -> None:
    """An upgrade and its rollback."""
    await upgrade(lab, rng)
    await after(_WHILE)
    await roll_back(lab, rng)


async def upgrade(lab: Releases, rng: random.Random) -> None:
    """Migrate while the previous release works, then replace it."""
    await after(_WHILE)
    service = rng.choice(SERVICES)
    if await _revision(lab, service) < schema_of(service).head():
        said = await refused(lab, service, NOW)
        assert "run `afterword migrate`" in said, said
    await asyncio.to_thread(prepare, lab.system, NOW)
    await after(_WHILE)
    await roll(lab, NOW)
    lab.doors.hold()


async def roll_back(lab: Releases, rng: random.Random) -> None:
    """Replace this release by the previous one, on the schema as it is now; then see when that would be refused."""
    await roll(lab, lab.previous)
    lab.doors.hold()
    service = rng.choice(SERVICES)
    async with contracted(lab, service):
        said = await refused(lab, service, lab.previous)
        assert "deploy a newer version" in said, said


async def roll(lab: Releases, code: Path) -> None:
    """All services at once, and of each one replica after the other, as Deployments do that are applied together."""

    async def one(service: str) -> None:
        for process in lab.processes(service):
            assert process.running(), f"ended: {process.log.read_text()[-2000:]}"
            if process.code == lab.previous:
                await leave(lab, process)
            ended = await asyncio.to_thread(process.end, signal.SIGTERM, seconds=30)
            assert ended == 0, f"{service} ended with {ended} after SIGTERM"
            process.code = code
            await lab.restart(process)
            lab.doors.away.discard(process.url)

    await asyncio.gather(*map(one, SERVICES))


async def leave(lab: Releases, process: Process) -> None:
    """Lead nobody to it and pause, as Kubernetes does before SIGTERM: releases before 2026-11-25 hang up on clients
    whose requests are on their way. This one is given no pause."""
    lab.doors.away.add(process.url)
    await after(_WHILE)


async def refused(lab: Releases, service: str, code: Path) -> str:
    """What a process says that must not start."""
    process = lab.another(service, code)
    process.start()
    ended = await asyncio.to_thread(process.wait_for_exit)
    assert ended == 1, f"{service} ended with {ended}"
    return process.log.read_text(encoding="utf-8")


@asynccontextmanager
async def contracted(lab: Releases, service: str) -> AsyncIterator[None]:
    """The schema says of itself what a migration of a later release would: that older code cannot work on it."""
    head = await _revision(lab, service)
    later = f"{int(head) + 1:04}"
    async with lab.sql() as sql:
        kept = await sql.fetchval(f"SELECT oldest_revision FROM {service}.schema_compatibility")
        await sql.execute(f"UPDATE {service}.alembic_version SET version_num = '{later}'")
        await sql.execute(f"UPDATE {service}.schema_compatibility SET oldest_revision = '{later}'")
        try:
            yield
        finally:
            await sql.execute(f"UPDATE {service}.alembic_version SET version_num = '{head}'")
            await sql.execute(
                f"UPDATE {service}.schema_compatibility SET oldest_revision = '{kept}'"
            )


async def _revision(lab: Releases, service: str) -> str:
    async with lab.sql() as sql:
        return str(await sql.fetchval(f"SELECT version_num FROM {service}.alembic_version"))
