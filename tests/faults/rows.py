"""The rows of the table: each is one fault, done once per trial while the workload runs."""

import asyncio
import random
import signal
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from services.cli.paths import SERVICES
from shared.crash import Point
from tests.e2e.system import Process
from tests.faults.laboratory import SESSION_SECONDS, Laboratory, after
from tests.support import eventually

Fault = Callable[[Laboratory, random.Random], Awaitable[None]]


@dataclass(frozen=True)
class Row:
    """One fault: what is done, how often in the short and in the long form, and how often between two checks."""

    id: str
    title: str
    fault: Fault
    short: int
    long: int
    together: int = 1
    replicas: int = 1
    sabotage: str | None = None
    """The build that is broken on purpose: the laws must be seen not to hold."""


async def nothing(lab: Laboratory, rng: random.Random) -> None:
    """Let it run: what is broken here is the build."""
    await after(5.0)


async def _kill(lab: Laboratory, process: Process) -> None:
    """Kill -9 and start again, as an orchestrator does."""
    if process.running():
        await asyncio.to_thread(process.end, signal.SIGKILL)
    await lab.restart(process)


async def random_kills(lab: Laboratory, rng: random.Random) -> None:
    """Each service once, each at its own moment."""

    async def one(process: Process) -> None:
        await after(rng.uniform(0.0, 3.0))
        await _kill(lab, process)

    await asyncio.gather(*(one(lab.processes(service)[0]) for service in SERVICES))


def crash_points(points: dict[str, Point]) -> Fault:
    """A fault that kills these services at these points, at one of the first passings."""

    async def fault(lab: Laboratory, rng: random.Random) -> None:
        passings = {service: rng.randint(1, 4) for service in points}

        async def one(service: str) -> None:
            process = lab.processes(service)[0]
            await asyncio.to_thread(process.end)
            process.start(crash_at=f"{points[service]}:{passings[service]}")
            await eventually(_ended(process), seconds=60, every=0.05, what=f"{points[service]}")
            code = process.wait_for_exit()
            assert code == -signal.SIGKILL, f"{service} ended with {code}"
            await lab.restart(process)

        await asyncio.gather(*map(one, points))

    return fault


def _ended(process: Process) -> Callable[[], Awaitable[bool]]:
    async def look() -> bool:
        return not process.running()

    return look


async def rolling_restart(lab: Laboratory, rng: random.Random) -> None:
    """SIGTERM to one service after the other; each must end by itself, with 0, within the grace."""
    for service in SERVICES:
        process = rng.choice(lab.processes(service))
        code = await asyncio.to_thread(process.end, signal.SIGTERM, seconds=30)
        assert code == 0, f"{service} ended with {code} after SIGTERM"
        await lab.restart(process)


async def broker_killed(lab: Laboratory, rng: random.Random) -> None:
    await asyncio.to_thread(lab.broker.kill)
    await after(rng.uniform(0.5, 5.0))
    await asyncio.to_thread(lab.broker.start)


def broker_frozen(seconds: float) -> Fault:
    """The broker hangs: nothing is answered and no connection breaks."""

    async def fault(lab: Laboratory, rng: random.Random) -> None:
        lab.broker.freeze()
        try:
            await after(seconds)
        finally:
            lab.broker.thaw()

    return fault


async def database_killed(lab: Laboratory, rng: random.Random) -> None:
    await asyncio.to_thread(lab.postgres.kill)
    await after(rng.uniform(0.5, 5.0))
    await asyncio.to_thread(lab.postgres.start)


async def backends_terminated(lab: Laboratory, rng: random.Random) -> None:
    """Every connection ended by the server, again and again."""
    for _ in range(4):
        await asyncio.to_thread(lab.postgres.terminate_backends)
        await after(rng.uniform(0.2, 1.5))


async def commit_in_doubt(lab: Laboratory, rng: random.Random) -> None:
    """The connection breaks after a COMMIT has happened and before its answer."""
    cut = lab.proxy.cut
    lab.proxy.cut_after_commits = rng.randint(1, 25)

    async def happened() -> bool:
        return lab.proxy.cut > cut

    await eventually(happened, seconds=30, every=0.05, what="a COMMIT")


async def database_cut_off(lab: Laboratory, rng: random.Random) -> None:
    """The network to the database drops everything for a while, then resets what was open."""
    lab.proxy.pause()
    await after(rng.uniform(2.0, 8.0))
    lab.proxy.cut_all()
    lab.proxy.resume()


async def zombie(lab: Laboratory, rng: random.Random) -> None:
    """A consumer stops in mid-air for longer than its session, another takes over, and it wakes up again."""
    process = lab.processes(rng.choice(["trigger", "scoring", "alerting"]))[0]
    process.signal(signal.SIGSTOP)
    try:
        await after(SESSION_SECONDS + rng.uniform(1.0, 3.0))
    finally:
        process.signal(signal.SIGCONT)


async def rebalances(lab: Laboratory, rng: random.Random) -> None:
    """Replicas come and go, some in good order and some not."""
    for _ in range(3):
        service = rng.choice(["trigger", "scoring", "alerting"])
        process = lab.processes(service)[1]
        how = rng.choice([signal.SIGTERM, signal.SIGKILL])
        await asyncio.to_thread(process.end, how)
        await after(rng.uniform(0.0, 2.0))
        await lab.restart(process)


async def offsets_reset(lab: Laboratory, rng: random.Random) -> None:
    """A group's offsets are lost: everything that the log still holds comes again."""
    service = rng.choice(["trigger", "scoring", "alerting"])
    processes = lab.processes(service)
    for process in processes:
        await asyncio.to_thread(process.end)
    prefix = lab.system.environment["AFTERWORD_LOG_URL"].partition("prefix=")[2].partition("&")[0]
    await asyncio.to_thread(lab.broker.delete_group, prefix + service)
    await lab.restart(*processes)


async def everything_killed(lab: Laboratory, rng: random.Random) -> None:
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


_CRASHES: dict[str, tuple[str, dict[str, Point]]] = {
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

ROWS: Sequence[Row] = (
    *(
        Row(f"S{number}", f"a {build} build is found out", nothing, 1, 1, sabotage=build)
        for number, build in enumerate(("lossy", "double-sending", "double-counting"), 1)
    ),
    Row("R", "each service killed at a random moment", random_kills, 3, 300, together=10),
    *(
        Row(id, title, crash_points(points), 2, 100, together=10)
        for id, (title, points) in sorted(_CRASHES.items())
    ),
    Row("F6", "SIGTERM, one service after the other, under load", rolling_restart, 1, 20, 5),
    Row("F7", "broker killed and started again", broker_killed, 1, 20, 5),
    Row("F8", "broker frozen", broker_frozen(8.0), 1, 0),
    Row("F8+", "broker frozen for a minute", broker_frozen(60.0), 0, 5),
    Row("F11", "database killed and started again", database_killed, 1, 20, 5),
    Row("F12", "database connections terminated, a storm", backends_terminated, 1, 30, 5),
    Row("F13", "COMMIT that happened and was not told", commit_in_doubt, 5, 500, together=50),
    Row("F14", "database behind a network that drops everything", database_cut_off, 1, 20, 5),
    Row("F17", "a group's offsets lost: all comes again", offsets_reset, 1, 20, 5),
    Row("F21", "replicas come and go", rebalances, 1, 40, 5, replicas=2),
    Row("F22", "a consumer wakes after another took over", zombie, 1, 100, 5, replicas=2),
    Row("F31", "everything killed, started in any order", everything_killed, 1, 20, 1),
)
