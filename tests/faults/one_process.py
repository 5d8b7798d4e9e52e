"""The laboratory of the embedded mode: one process on files, a fresh directory for each group of trials."""

import asyncio
import random
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.local.disk import SmallDisk
from tests.e2e.receiver import open_receiver
from tests.e2e.system import Process, embedded
from tests.faults.laboratory import SETTINGS, Observed
from tests.faults.setup import Setup
from tests.faults.workload import Workload


@dataclass
class OneProcess(Observed):
    """What a fault can reach: the process and its files."""

    directory: Path
    disk_mb: int | None
    _used: int = 0

    @property
    def process(self) -> Process:
        return self.system.processes["dev"]

    @property
    def data(self) -> Path:
        """Where the process keeps its log and its databases."""
        return self.system.directory / "data"

    @asynccontextmanager
    async def workspace(self, rng: random.Random) -> AsyncIterator[Workload]:
        """A new system on a new directory, with its workload at hand."""
        directory = self.directory / f"{self._used:03}"
        self._used += 1
        (directory / "data").mkdir(parents=True)
        async with AsyncExitStack() as stack:
            stack.callback(shutil.rmtree, directory)
            if self.disk_mb is not None:
                self.disk = stack.enter_context(SmallDisk(directory / "data", self.disk_mb))
            self._system = embedded(directory)
            self.process.log = self.data / "dev.log"
            self.process.environment = self.process.environment | SETTINGS
            stack.callback(self.end_all)
            self.process.start()
            await asyncio.to_thread(self.system.wait_until_ready)
            yield await stack.enter_async_context(self.working("acme", (self.process.url,), rng))


@asynccontextmanager
async def open_one_process(setup: Setup) -> AsyncIterator[OneProcess]:
    """Prepare the receiver and a directory; a workspace raises `MissingPart` when it wants a disk and none can be
    mounted here."""
    async with AsyncExitStack() as stack:
        directory = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="afterword-faults-"))
        )
        receiver = await stack.enter_async_context(open_receiver())
        yield OneProcess(receiver, directory, setup.disk_mb)
