"""Faults of the services: killed anywhere, killed at each step of a hop, restarted in order.

Finds a build that acknowledges before it has written, does again what it has done, drops what it holds when it is told
to end, or needs an order in which things are started.
"""

import asyncio
import random
import signal
from collections.abc import Awaitable, Callable

from services.cli.paths import SERVICES
from shared.crash import Point
from tests.e2e.system import Process
from tests.faults.distributed import Distributed, Fault
from tests.faults.laboratory import after
from tests.support import eventually


async def nothing(lab: Distributed, rng: random.Random) -> None:
    """Let it run: what is broken here is the build."""
    await after(5.0)


async def kill(lab: Distributed, process: Process) -> None:
    """Kill -9 and start again, as an orchestrator does."""
    if process.running():
        await asyncio.to_thread(process.end, signal.SIGKILL)
    await lab.restart(process)


async def random_kills(lab: Distributed, rng: random.Random) -> None:
    """Each service once, each at its own moment."""

    async def one(process: Process) -> None:
        await after(rng.uniform(0.0, 3.0))
        await kill(lab, process)

    await asyncio.gather(*(one(lab.processes(service)[0]) for service in SERVICES))


def crash_points(points: dict[str, Point]) -> Fault:
    """A fault that kills these services at these points, at one of the first passings."""

    async def fault(lab: Distributed, rng: random.Random) -> None:
        passings = {service: rng.randint(1, 4) for service in points}

        await asyncio.gather(
            *(crash(lab, service, points[service], passings[service]) for service in points)
        )

    return fault


async def crash(lab: Distributed, service: str, point: Point, passing: int) -> None:
    """Have a service killed when it passes a point for the nth time, and start it again."""
    process = lab.processes(service)[0]
    await asyncio.to_thread(process.end)
    process.start(crash_at=f"{point}:{passing}")
    await eventually(_ended(process), seconds=60, every=0.05, what=f"{point}")
    code = process.wait_for_exit()
    assert code == -signal.SIGKILL, f"{service} ended with {code}"
    await lab.restart(process)


def _ended(process: Process) -> Callable[[], Awaitable[bool]]:
    async def look() -> bool:
        return not process.running()

    return look


async def rolling_restart(lab: Distributed, rng: random.Random) -> None:
    """SIGTERM to one service after the other; each must end by itself, with 0, within the grace."""
    for service in SERVICES:
        process = rng.choice(lab.processes(service))
        code = await asyncio.to_thread(process.end, signal.SIGTERM, seconds=30)
        assert code == 0, f"{service} ended with {code} after SIGTERM"
        await lab.restart(process)


async def everything_killed(lab: Distributed, rng: random.Random) -> None:
    """Broker, database and all services at once, started again in any order."""
    for process in lab.system.processes.values():
        if process.running():
            process.signal(signal.SIGKILL)
            process.wait_for_exit()
    await asyncio.gather(asyncio.to_thread(lab.broker.kill), asyncio.to_thread(lab.postgres.kill))
    starts: list[Callable[[], Awaitable[None]]] = [
        lambda: asyncio.to_thread(lab.broker.start),
        lambda: asyncio.to_thread(lab.postgres.start),
        *(_starter(process) for process in lab.system.processes.values()),
    ]
    rng.shuffle(starts)
    for start in starts:
        await start()
    await lab.restart(*lab.system.processes.values())


def _starter(process: Process) -> Callable[[], Awaitable[None]]:
    async def start() -> None:
        process.start()
        await after(0.2)

    return start


CRASHES: dict[str, tuple[str, dict[str, Point]]] = {
    "F2": (
        "relay killed after publishing, before marking",
        {
            "ingest": Point.RELAY_AFTER_PUBLISH,
            "trigger": Point.RELAY_AFTER_PUBLISH,
            "alerting": Point.RELAY_AFTER_PUBLISH,
        },
    ),
    "F3a": (
        "consumer killed before its commit",
        {
            "ingest": Point.WORKER_BEFORE_COMMIT,
            "trigger": Point.WORKER_BEFORE_COMMIT,
            "scoring": Point.WORKER_BEFORE_COMMIT,
            "alerting": Point.WORKER_BEFORE_COMMIT,
        },
    ),
    "F3b": (
        "consumer killed after its commit, before its offset",
        {
            "ingest": Point.WORKER_AFTER_COMMIT,
            "trigger": Point.WORKER_AFTER_COMMIT,
            "scoring": Point.WORKER_AFTER_COMMIT,
            "alerting": Point.WORKER_AFTER_COMMIT,
        },
    ),
    "F1": (
        "intake killed after the log's acknowledgement, before the 202",
        {
            "ingest": Point.INTAKE_AFTER_APPEND,
        },
    ),
    "F5a": ("dispatcher killed after its claim", {"alerting": Point.DISPATCH_AFTER_CLAIM}),
    "F5b": ("dispatcher killed after the receiver's 2xx", {"alerting": Point.DISPATCH_AFTER_SEND}),
}
