"""Runs retention to its end, or breaks it off in the middle as a kill does."""

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from shared.db import Database, Tx
from shared.kept import Before, Kept
from shared.retention import Retention

_RUN = """
import asyncio, importlib, json, os
from shared.db import open_database
from shared.retention import Retention

async def main():
    service = os.environ["SERVICE"]
    kept = importlib.import_module(f"services.{service}.store.retention").kept
    leases = importlib.import_module(f"services.{service}.tables").leases
    async with open_database(os.environ["DATABASE_URL"], service) as database:
        database.gate = None
        await Retention(database, leases, kept(*json.loads(os.environ["KEPT"]))).step()

asyncio.run(main())
"""


async def let_go(database: Database, leases: sa.Table, kept: Sequence[Kept]) -> int:
    """Everything that is old, as the service does it; how many rows went one by one."""
    retention = Retention(database, leases, kept)
    rows = 0
    try:
        while some := await retention.step():
            rows += some
    finally:
        await lapse(database, leases)
    return rows


async def lapse(database: Database, leases: sa.Table) -> None:
    """Let the time pass after which another replica goes on."""
    async with database.begin() as tx:
        await tx.execute(sa.delete(leases))


async def outlooks(database: Database, leases: sa.Table, kept: Sequence[Kept]) -> dict[str, int]:
    """The dry run: how many rows of each class would go."""
    found = await Retention(database, leases, kept).outlook()
    return {each.name: each.rows for each in found}


class BrokenOffError(Exception):
    """The end of a process, as a transaction meets it."""


def broken_off(kept: Sequence[Kept]) -> list[Kept]:
    """The same classes, each broken off when its statements are done and nothing is committed."""
    return [replace(one, delete=_breaking(one)) if one.delete else one for one in kept]


def _breaking(kept: Kept) -> Any:
    async def delete(tx: Tx, before: Before, limit: int) -> int:
        assert kept.delete is not None
        await kept.delete(tx, before, limit)
        raise BrokenOffError

    return delete


async def killed_while_letting_go(service: str, database_url: str, kept: str) -> None:
    """A process of its own that lets go, given the arguments of the service's `kept` as JSON, and is killed just before
    it commits."""
    environment = os.environ | {
        "AFTERWORD_CRASH_AT": "retention.before_commit",
        "SERVICE": service,
        "DATABASE_URL": database_url,
        "KEPT": kept,
    }
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", _RUN, env=environment)
    assert await asyncio.wait_for(process.wait(), 60) == -signal.SIGKILL
