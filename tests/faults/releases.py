"""The laboratory of two releases: each workspace is a system of its own, which the previous release has begun."""

import asyncio
import random
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

from deploy.local.kafka import KafkaBroker
from deploy.local.postgres import PostgresServer
from services.cli.paths import SERVICES
from tests.e2e.receiver import open_receiver
from tests.e2e.system import Process, System, describe, prepare
from tests.faults.distributed import SESSION_SECONDS, WORKSPACES, Distributed
from tests.faults.doors import Doors
from tests.faults.laboratory import SETTINGS
from tests.faults.previous import export_previous
from tests.faults.proxy import open_proxy
from tests.faults.workload import Workload
from tests.support import TOKEN_KEYS

_REPLICAS = 2
_SHOPS = 1
"""Eight processes, of which four are starting, leave little of two cores to clients."""
_WORKSPACE = "w000"


@dataclass(kw_only=True)
class Releases(Distributed):
    """What an upgrade is done to: two replicas of each service, behind an address for both."""

    directory: Path
    previous: Path
    """The code of the previous release."""
    doors: Doors = field(default_factory=lambda: Doors({}))

    @asynccontextmanager
    async def workspace(self, rng: random.Random) -> AsyncIterator[Workload]:
        """A new database and new topics, made and worked on by the previous release, with the workload at hand."""
        self._used += 1
        self.database_url = self.postgres.create_database()
        self._system = await asyncio.to_thread(self._begun, self.directory / f"{self._used:03}")
        try:
            for process in self.system.processes.values():
                process.start()
            await asyncio.to_thread(self.system.wait_until_ready)
            async with self.working(_WORKSPACE, (self.system.urls["ingest"],), rng) as workload:
                workload.shops = _SHOPS
                yield workload
        finally:
            self.end_all()
            self.postgres.drop_database(self.database_url)

    def another(self, service: str, code: Path) -> Process:
        """One more process of a service, from either release; it is not a replica of the system."""
        like = self.processes(service)[0]
        log = self.system.directory / f"{service}-another.log"
        log.unlink(missing_ok=True)
        return Process(
            "", like.arguments, like.environment | {"AFTERWORD_PORT": "0"}, log, code=code
        )

    def _begun(self, directory: Path) -> System:
        directory.mkdir()
        log = (
            f"kafka://{self.bootstrap}?prefix={uuid4().hex[:8]}.&session_timeout={SESSION_SECONDS}"
        )
        system = describe(
            directory,
            log_url=log,
            database_url=self.database_url,
            workspaces={_WORKSPACE: {}, f"w{WORKSPACES - 1:03}": {}},
            replicas=dict.fromkeys(SERVICES, _REPLICAS),
            settings=SETTINGS,
        )
        self.doors = Doors(
            {
                s: [p.url for n, p in system.processes.items() if n.split("-")[0] == s]
                for s in SERVICES
            }
        )
        system.urls, system.transport = self.doors.urls(), self.doors.transport
        shared = {"AFTERWORD_PUBLIC_URL": system.urls["ingest"], "AFTERWORD_TOKEN_KEYS": TOKEN_KEYS}
        for environment in (
            system.environment,
            *(p.environment for p in system.processes.values()),
        ):
            environment.pop(
                "AFTERWORD_TOKEN_KEYS_FILE"
            )  # the oldest releases know the variable only
            environment |= shared
        for process in system.processes.values():
            process.code = self.previous
        prepare(system, self.previous)
        return system


@asynccontextmanager
async def open_releases(broker: KafkaBroker, postgres: PostgresServer) -> AsyncIterator[Releases]:
    """Take the previous release out of the history. Raises `NoHistory`."""
    async with AsyncExitStack() as stack:
        directory = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="afterword-upgrade-"))
        )
        previous = await asyncio.to_thread(export_previous, directory / "previous")
        receiver = await stack.enter_async_context(open_receiver())
        proxy = await stack.enter_async_context(open_proxy(postgres.port))
        yield Releases(
            receiver, [broker], postgres, proxy, "", "", directory=directory, previous=previous
        )


@asynccontextmanager
async def open_two_releases() -> AsyncIterator[Releases]:
    """The same on a broker and a database of its own. Raises `MissingPart` where this machine lacks something."""
    async with AsyncExitStack() as stack:
        broker = await asyncio.to_thread(stack.enter_context, KafkaBroker())
        postgres = await asyncio.to_thread(stack.enter_context, PostgresServer(durable=False))
        yield await stack.enter_async_context(open_releases(broker, postgres))
