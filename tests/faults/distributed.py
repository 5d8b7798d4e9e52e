"""The laboratory on Kafka and PostgreSQL: a process per service and replica, the database behind a proxy."""

import asyncio
import random
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from deploy.local.disk import SmallDisk
from deploy.local.kafka import KafkaBroker
from deploy.local.postgres import PostgresServer
from services.cli.paths import SERVICES
from tests.e2e.receiver import open_receiver
from tests.e2e.system import Process, System, distributed
from tests.faults import laws
from tests.faults.laboratory import SETTINGS, Observed
from tests.faults.proxy import Proxy, open_proxy
from tests.faults.seeing import see
from tests.faults.setup import Setup
from tests.faults.workload import Workload

WORKSPACES = 400
SESSION_SECONDS = 3
SEND_SECONDS = 3


@dataclass
class Distributed(Observed):
    """What a fault can reach. Each group of trials gets a workspace of its own in one system."""

    broker: KafkaBroker
    postgres: PostgresServer
    proxy: Proxy
    """Between the services and the database."""
    database_url: str
    """Of the database itself, past the proxy."""
    prefix: str
    """Of the names of topics and groups."""
    disks: tuple[SmallDisk, ...] = ()
    """The broker's and the database's, where they are small."""
    _used: int = 0

    def processes(self, service: str) -> list[Process]:
        """The replicas of a service."""
        return [p for name, p in self.system.processes.items() if name.split("-")[0] == service]

    @property
    def workspace_name(self) -> str:
        """Of the workspace at hand."""
        return f"w{self._used - 1:03}"

    async def heal(self) -> None:
        """Everything that was taken away is there again."""
        self.proxy.resume()
        self.proxy.cut_after_commits = None
        for disk in self.disks:
            disk.free()
        for server in (self.broker, self.postgres):
            if not server.running:
                await asyncio.to_thread(server.start)
        await super().heal()

    @asynccontextmanager
    async def workspace(self, rng: random.Random) -> AsyncIterator[Workload]:
        """A workspace that nothing has happened in, defined, with its workload at hand."""
        name = f"w{self._used:03}"
        self._used += 1
        doors = tuple(process.url for process in self.processes("ingest"))
        async with self.working(name, doors, rng) as workload:
            yield workload

    async def see(self) -> laws.Seen:
        """What there is in the workspace at hand, and in what the key of one never used is shown."""
        async with self.system.client(f"w{WORKSPACES - 1:03}") as stranger:
            return await see(self.workload, self.receiver.requests, stranger)


Fault = Callable[[Distributed, random.Random], Awaitable[None]]


@asynccontextmanager
async def open_distributed(setup: Setup) -> AsyncIterator[Distributed]:
    """Start broker, database and services, or a build of them that is broken on purpose; all ends with the context."""
    async with AsyncExitStack() as stack:
        directory = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="afterword-faults-"))
        )
        disks = _disks(stack, setup)
        places: list[Path | None] = [disk.directory for disk in disks] or [None, None]
        broker = await asyncio.to_thread(stack.enter_context, KafkaBroker(under=places[0]))
        server = PostgresServer(durable=False, under=places[1])
        postgres = await asyncio.to_thread(stack.enter_context, server)
        proxy = await stack.enter_async_context(open_proxy(postgres.port))
        receiver = await stack.enter_async_context(open_receiver())
        url = postgres.create_database()
        through = url.replace(f":{postgres.port}/", f":{proxy.port}/")
        prefix = f"{uuid4().hex[:8]}."
        log_url = f"{broker.url}?prefix={prefix}&session_timeout={SESSION_SECONDS}&send_timeout={SEND_SECONDS}"
        lab = Distributed(receiver, broker, postgres, proxy, url, prefix, disks)
        lab._system = await asyncio.to_thread(_system, setup, directory, log_url, through)
        stack.callback(lab.end_all)
        for process in lab.system.processes.values():
            process.start()
        await asyncio.to_thread(lab.system.wait_until_ready)
        yield lab


def _disks(stack: AsyncExitStack, setup: Setup) -> tuple[SmallDisk, ...]:
    if setup.disk_mb is None:
        return ()
    directories = [tempfile.mkdtemp(prefix="afterword-disk-") for _ in range(2)]
    for directory in directories:
        stack.callback(shutil.rmtree, directory, ignore_errors=True)
    return tuple(
        stack.enter_context(SmallDisk(Path(directory), setup.disk_mb)) for directory in directories
    )


def _system(setup: Setup, directory: Path, log_url: str, database_url: str) -> System:
    system = distributed(
        directory,
        log_url=log_url,
        database_url=database_url,
        workspaces={f"w{n:03}": {} for n in range(WORKSPACES)},
        replicas=dict.fromkeys(SERVICES, setup.replicas),
        settings=SETTINGS,
    )
    if setup.sabotage is not None:
        for process in system.processes.values():
            process.module = "tests.faults.sabotage"
            process.environment = process.environment | {"SABOTAGE": setup.sabotage}
    return system
