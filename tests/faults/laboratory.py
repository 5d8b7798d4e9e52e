"""The laboratory: a real system as processes, that faults are done to, and what is seen after."""

import asyncio
import os
import random
import shutil
import signal
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import httpx

from bench.measuring import memory
from deploy.local.disk import SmallDisk
from tests.e2e import scenario
from tests.e2e.receiver import Receiver
from tests.e2e.system import Process, System
from tests.faults import shown
from tests.faults.seeing import is_quiet, see
from tests.faults.workload import Workload
from tests.support import eventually

_QUIET_SECONDS = 180.0
SETTINGS = {
    "AFTERWORD_RELAY_LEASE_SECONDS": "4",
    "AFTERWORD_DELIVERY_TIMEOUT_SECONDS": "2",
    "AFTERWORD_DELIVERY_LEASE_SECONDS": "9",
    "AFTERWORD_SEND_TIMEOUT_SECONDS": "2",
}


class Laboratory(Protocol):
    """What a run needs of a laboratory; faults know which of them they are done to."""

    def workspace(self, rng: random.Random) -> AbstractAsyncContextManager[Workload]:
        """A workspace that nothing has happened in, defined, with its workload at hand."""

    async def heal(self) -> None:
        """Everything that was taken away is there again."""

    async def quiet(self) -> None:
        """Wait until nothing is under way."""

    async def see(self) -> shown.Seen:
        """What there is in the workspace at hand."""

    def keep_logs(self, under: Path) -> None:
        """Copy what the processes said."""


@dataclass
class Observed:
    """A running system, the receiver of its webhooks, and the workload on it."""

    receiver: Receiver
    _system: System | None = field(default=None, kw_only=True)
    _workload: Workload | None = field(default=None, kw_only=True)
    disk: SmallDisk | None = field(default=None, kw_only=True)

    @property
    def system(self) -> System:
        assert self._system is not None, "no system runs"
        return self._system

    @property
    def workload(self) -> Workload:
        assert self._workload is not None, "no workspace is open"
        return self._workload

    @asynccontextmanager
    async def working(
        self, name: str, doors: tuple[str, ...], rng: random.Random
    ) -> AsyncIterator[Workload]:
        """Define a workspace and have its workload at hand."""
        async with self.system.client(name) as client:
            await scenario.define(client, **{"/v1/endpoints/crm": {"url": self.receiver.url}})
            self._workload = Workload(self.system, client, rng, doors)
            try:
                yield self._workload
            finally:
                self._workload = None

    async def restart(self, *processes: Process, crash_at: str | None = None) -> None:
        """Start what has ended of these and wait until it serves; with a crash point it may be gone before."""
        for process in processes:
            if not process.running():
                process.start(crash_at=crash_at)
        for process in processes:
            await serving(process)

    async def heal(self) -> None:
        """Space is free, and every process runs."""
        if self.disk is not None:
            self.disk.free()
        for process in self.system.processes.values():
            if process.running():
                process.signal(signal.SIGCONT)
        await self.restart(*self.system.processes.values())

    async def quiet(self) -> None:
        """Wait until nothing is under way, twice: what has left one service may not have come to the next."""
        client = self.workload.client
        for _ in range(2):
            await eventually(
                lambda: is_quiet(client, "crm"),
                seconds=_QUIET_SECONDS,
                every=0.2,
                what="quiescence",
            )

    async def see(self) -> shown.Seen:
        """What there is in the workspace at hand."""
        return await see(self.workload, self.receiver.requests, None)

    def keep_logs(self, under: Path) -> None:
        """Copy what the processes said, for whoever looks into what did not hold."""
        under.mkdir(parents=True, exist_ok=True)
        for process in self.system.processes.values():
            shutil.copy(process.log, under)

    def end_all(self) -> None:
        """End every process, also those that were stopped in mid-air."""
        for process in self._system.processes.values() if self._system else ():
            if process.running():
                assert process.child is not None
                os.kill(process.child.pid, signal.SIGCONT)
                process.signal(signal.SIGKILL)
                process.wait_for_exit()


async def serving(process: Process, seconds: float = 60.0) -> None:
    """Wait until it is ready, or has been killed by its crash point."""

    async def ready() -> bool:
        if process.crash_at is not None and not process.running():
            return True
        assert process.running(), f"ended: {process.log.read_text()[-2000:]}"
        return await is_ready(process)

    await eventually(ready, seconds=seconds, every=0.1, what=f"{process.arguments} being ready")


async def is_ready(process: Process) -> bool:
    async with httpx.AsyncClient(trust_env=False, timeout=2) as client:
        try:
            return (await client.get(f"{process.url}/health/ready")).status_code == 200
        except httpx.TransportError:
            return False


def resident_mb(process: Process) -> float:
    """What the process holds in memory now, in MB."""
    assert process.child is not None
    return memory(process.child.pid).rss


async def after(seconds: float) -> None:
    """Let the system run for a while: the one thing here that is waited for by the clock."""
    ends = time.monotonic() + seconds
    while (left := ends - time.monotonic()) > 0:
        await asyncio.sleep(left)
