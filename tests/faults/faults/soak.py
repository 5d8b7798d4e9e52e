"""A long run in which now and then something around the services is taken away, and what they hold is measured.

Finds a build that leaks memory, sockets or files, most of all on the paths that only a fault takes.
"""

import asyncio
import os
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from tests.e2e.system import Process
from tests.faults.distributed import Distributed
from tests.faults.faults import broker, clients, database
from tests.faults.laboratory import after, resident_mb
from tests.support import eventually

SECONDS = float(os.environ.get("SOAK_SECONDS", "120"))
"""Two hours by `make soak` and `make faults`."""

_BETWEEN_SECONDS = 60.0
_SAMPLE_SECONDS = 5.0
_HOUR = 3600.0
_MB_AN_HOUR = 5.0
_MB_ON_A_SHORT_RUN = 64.0
_MORE_FILES = 24
_FAULTS: Sequence[Callable[[Distributed, random.Random], Awaitable[None]]] = (
    broker.broker_killed,
    broker.broker_frozen(5.0),
    clients.disconnecting,
    database.backends_terminated,
    database.commit_in_doubt,
    database.database_cut_off,
    database.database_killed,
)
"""None of them ends a process of ours: its memory would begin anew."""

Sample = tuple[float, float]
"""When, and how many MB."""


async def soak(lab: Distributed, rng: random.Random) -> None:
    """A fault every minute, or four times in a run that is shorter; after a third of the time, when everything has been
    used once, memory must not go on growing, and at rest no more files are open than at first."""
    ends = time.monotonic() + SECONDS
    files = {name: _files(process) for name, process in lab.system.processes.items()}
    samples: dict[str, list[Sample]] = {name: [] for name in files}
    measuring = asyncio.create_task(_measure(lab, samples))
    try:
        while (left := ends - time.monotonic()) > 0:
            await after(min(left, _BETWEEN_SECONDS, SECONDS / 4))
            if time.monotonic() < ends:
                await rng.choice(_FAULTS)(lab, rng)
    finally:
        measuring.cancel()
    lab.workload.ledger.notes["seconds"] = SECONDS
    for name, process in lab.system.processes.items():
        settled = [at for at in samples[name] if at[0] > ends - SECONDS * 2 / 3]
        lab.workload.ledger.notes[f"{name}, MB/h"] = round(_slope(settled) * _HOUR, 1)
        lab.workload.ledger.notes[f"{name}, MB"] = round(settled[-1][1], 1)
        _judge(name, settled)
        await eventually(
            lambda p=process, n=files[name]: _few(p, n),  # type: ignore[misc]
            seconds=60,
            every=1.0,
            what=f"{name} closing its files",
        )


async def _measure(lab: Distributed, samples: dict[str, list[Sample]]) -> None:
    while True:
        for name, process in lab.system.processes.items():
            samples[name].append((time.monotonic(), resident_mb(process)))
        await after(_SAMPLE_SECONDS)


def _judge(name: str, samples: Sequence[Sample]) -> None:
    if SECONDS >= _HOUR:
        an_hour = _slope(samples) * _HOUR
        assert an_hour < _MB_AN_HOUR, f"{name} grows by {an_hour:.1f} MB an hour"
    else:
        grown = samples[-1][1] - samples[0][1]
        assert grown < _MB_ON_A_SHORT_RUN, f"{name} grew by {grown:.0f} MB"


def _slope(samples: Sequence[Sample]) -> float:
    """MB a second, by least squares."""
    middle = sum(at for at, _ in samples) / len(samples)
    mean = sum(held for _, held in samples) / len(samples)
    spread = sum((at - middle) ** 2 for at, _ in samples)
    return sum((at - middle) * (held - mean) for at, held in samples) / spread if spread else 0.0


async def _few(process: Process, before: int) -> bool:
    return _files(process) <= before + _MORE_FILES


def _files(process: Process) -> int:
    assert process.child is not None
    return len(list(Path(f"/proc/{process.child.pid}/fd").iterdir()))
