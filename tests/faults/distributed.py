"""The laboratory on Kafka and PostgreSQL: a process per service and replica, the database behind a proxy."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg

from deploy.local.disk import SmallDisk
from deploy.local.kafka import KafkaBroker
from deploy.local.kafka_cluster import start_all
from deploy.local.postgres import PostgresServer
from tests.e2e.system import Process
from tests.faults import shown
from tests.faults.laboratory import Observed
from tests.faults.proxy import Proxy
from tests.faults.seeing import see
from tests.faults.workload import Workload

WORKSPACES = 400
SESSION_SECONDS = 3
SEND_SECONDS = 3


@dataclass
class Distributed(Observed):
    """What a fault can reach. Each group of trials gets a workspace of its own in one system."""

    brokers: Sequence[KafkaBroker]
    postgres: PostgresServer
    proxy: Proxy
    """Between the services and the database."""
    database_url: str
    """Of the database itself, past the proxy."""
    prefix: str
    """Of the names of topics and groups."""
    disks: tuple[SmallDisk, ...] = ()
    """The broker's and the database's, where they are small."""
    side_door: Proxy | None = None
    """Between the second replicas and the broker, where they go another way."""
    _used: int = 0

    @property
    def broker(self) -> KafkaBroker:
        """The only one, or the first."""
        return self.brokers[0]

    @property
    def bootstrap(self) -> str:
        """Where to find the brokers that run."""
        return ",".join(broker.bootstrap for broker in self.brokers if broker.running)

    def processes(self, service: str) -> list[Process]:
        """The replicas of a service."""
        return [p for name, p in self.system.processes.items() if name.split("-")[0] == service]

    @property
    def workspace_name(self) -> str:
        """Of the workspace at hand."""
        return f"w{self._used - 1:03}"

    @asynccontextmanager
    async def sql(self) -> AsyncIterator[asyncpg.Connection]:
        """A connection to the database itself, past the proxy."""
        connection = await asyncpg.connect(self.database_url)
        try:
            yield connection
        finally:
            await connection.close()

    async def heal(self) -> None:
        """Everything that was taken away is there again."""
        self.receiver.status = 204
        for proxy in filter(None, (self.proxy, self.side_door)):
            proxy.resume()
            proxy.cut_after_commits = None
        for disk in self.disks:
            disk.free()
        await asyncio.to_thread(start_all, self.brokers)
        if not self.postgres.running:
            await asyncio.to_thread(self.postgres.start)
        await super().heal()

    @asynccontextmanager
    async def workspace(self, rng: random.Random) -> AsyncIterator[Workload]:
        """A workspace that nothing has happened in, defined, with its workload at hand."""
        name = f"w{self._used:03}"
        self._used += 1
        doors = tuple(process.url for process in self.processes("ingest"))
        async with self.working(name, doors, rng) as workload:
            yield workload

    async def see(self) -> shown.Seen:
        """What there is in the workspace at hand, and in what the key of one never used is shown."""
        async with self.system.client(f"w{WORKSPACES - 1:03}") as stranger:
            return await see(self.workload, self.receiver.requests, stranger)


Fault = Callable[[Distributed, random.Random], Awaitable[None]]
