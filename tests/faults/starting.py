"""Starts the laboratory on Kafka and PostgreSQL as a row needs it."""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from uuid import uuid4

from deploy.local.disk import SmallDisk
from deploy.local.kafka import KafkaBroker, Listener
from deploy.local.kafka_cluster import kafka_cluster
from deploy.local.ports import free_port
from deploy.local.postgres import PostgresServer
from services.cli.paths import SERVICES
from tests.e2e.receiver import open_receiver
from tests.e2e.system import System, distributed
from tests.faults import skew
from tests.faults.distributed import SEND_SECONDS, SESSION_SECONDS, WORKSPACES, Distributed
from tests.faults.laboratory import SETTINGS
from tests.faults.proxy import Proxy, open_proxy
from tests.faults.setup import Setup

_SLOW_AND_FAST_SECONDS = (-600, 600)


@asynccontextmanager
async def open_distributed(setup: Setup) -> AsyncIterator[Distributed]:
    """Start broker, database and services, or a build of them that is broken on purpose; all ends with the context.
    Raises `MissingPart` where this machine lacks something."""
    async with AsyncExitStack() as stack:
        directory = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="afterword-faults-"))
        )
        disks = _disks(stack, setup)
        places: list[Path | None] = [disk.directory for disk in disks] or [None, None]
        brokers, side_door = await _brokers(stack, setup, places[0])
        server = PostgresServer(durable=False, under=places[1])
        postgres = await asyncio.to_thread(stack.enter_context, server)
        proxy = await stack.enter_async_context(open_proxy(postgres.port))
        receiver = await stack.enter_async_context(open_receiver())
        url = postgres.create_database()
        prefix = f"{uuid4().hex[:8]}."
        lab = Distributed(receiver, brokers, postgres, proxy, url, prefix, disks, side_door)
        lab._system = await asyncio.to_thread(_system, setup, directory, lab)
        stack.callback(lab.end_all)
        for process in lab.system.processes.values():
            process.start()
        await asyncio.to_thread(lab.system.wait_until_ready)
        yield lab


async def _brokers(
    stack: AsyncExitStack, setup: Setup, place: Path | None
) -> tuple[Sequence[KafkaBroker], Proxy | None]:
    """The brokers, and the proxy before the side door of the only one."""
    if setup.brokers > 1:
        cluster = kafka_cluster(setup.brokers)
        return await asyncio.to_thread(stack.enter_context, cluster), None
    proxy, listeners = None, []
    if setup.side_door:
        port = free_port()
        proxy = await stack.enter_async_context(open_proxy(port))
        listeners.append(Listener("SIDE", port, told=proxy.port))
    broker = KafkaBroker(under=place, listeners=listeners)
    return [await asyncio.to_thread(stack.enter_context, broker)], proxy


def _disks(stack: AsyncExitStack, setup: Setup) -> tuple[SmallDisk, ...]:
    if setup.disk_mb is None:
        return ()
    directories = [tempfile.mkdtemp(prefix="afterword-disk-") for _ in range(2)]
    for directory in directories:
        stack.callback(shutil.rmtree, directory, ignore_errors=True)
    return tuple(
        stack.enter_context(SmallDisk(Path(directory), setup.disk_mb)) for directory in directories
    )


def _system(setup: Setup, directory: Path, lab: Distributed) -> System:
    system = distributed(
        directory,
        log_url=_log_url(lab, lab.bootstrap),
        database_url=lab.database_url.replace(f":{lab.postgres.port}/", f":{lab.proxy.port}/"),
        workspaces={f"w{n:03}": {} for n in range(WORKSPACES)},
        replicas=dict.fromkeys(SERVICES, setup.replicas),
        settings=SETTINGS,
    )
    library = skew.build(directory) if setup.clocks_apart else None
    for name, process in system.processes.items():
        second = name.endswith("-2")
        own: dict[str, str] = {}
        if setup.sabotage is not None:
            process.module = "tests.faults.sabotage"
            own["SABOTAGE"] = setup.sabotage
        if lab.side_door is not None and second:
            own["AFTERWORD_LOG_URL"] = _log_url(lab, f"127.0.0.1:{lab.side_door.port}")
        if library is not None:
            own |= skew.skewed(library, _SLOW_AND_FAST_SECONDS[second])
        process.environment = process.environment | own
    return system


def _log_url(lab: Distributed, servers: str) -> str:
    timeouts = f"session_timeout={SESSION_SECONDS}&send_timeout={SEND_SECONDS}"
    return f"kafka://{servers}?prefix={lab.prefix}&{timeouts}"
