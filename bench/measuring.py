"""Reads what processes cost from /proc, keeps each on its core, and says which machine it was."""

import contextlib
import os
import platform
import subprocess
from collections.abc import Iterator, Set
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

_LIBRARIES = (
    "aiokafka",
    "asyncpg",
    "fastapi",
    "msgspec",
    "pydantic",
    "sqlalchemy",
    "uvicorn",
    "uvloop",
)
_ROOT = Path(__file__).parents[1]
_AVAILABLE = frozenset(os.sched_getaffinity(0))  # before anything is pinned


@dataclass(frozen=True)
class Memory:
    """Of one process, in MB (a million bytes): resident, its share of what is shared, and what is its alone."""

    rss: float
    pss: float
    uss: float


def cpu_seconds(pid: int) -> float:
    """The time that all threads of a process have been on a core, kernel work included. Threads that ended are lost."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError):
            total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


def busy_seconds() -> float:
    """How long the measured core has been busy, whoever kept it so (the hypervisor included)."""
    (core,) = cores()[0]
    for line in Path("/proc/stat").read_text().splitlines():
        name, *ticks = line.split()
        if name == f"cpu{core}":
            user, nice, system, _idle, _waiting, *interrupts_and_steal = map(int, ticks[:8])
            busy = user + nice + system + sum(interrupts_and_steal)
            return busy / os.sysconf("SC_CLK_TCK")
    return 0.0


def others_share(busy: float, own: float, seconds: float) -> float:
    """The part of the measured core that other work took from the measured process; above 0.2 doubt the figures."""
    return max(0.0, (busy - own) / seconds)


def memory(pid: int) -> Memory:
    """What the process holds now."""
    kilobytes: dict[str, int] = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, amount = line.split(":")
        kilobytes[name] = int(amount.split()[0])
    private = kilobytes["Private_Clean"] + kilobytes["Private_Dirty"]
    sizes = (kilobytes["Rss"], kilobytes["Pss"], private)
    return Memory(*(size * 1024 / 1e6 for size in sizes))


def cores() -> tuple[set[int], set[int]]:
    """The one core of the measured process, and those of everything else; the same core where there is but one."""
    available = sorted(_AVAILABLE)
    return {available[-1]}, set(available[:-1]) or {available[-1]}


@contextlib.contextmanager
def on_cores(chosen: Set[int]) -> Iterator[None]:
    """Keep this thread, and every process it starts meanwhile, on these cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, chosen)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def measured_core() -> contextlib.AbstractContextManager[None]:
    """Where the measured process runs, alone."""
    return on_cores(cores()[0])


def other_cores() -> contextlib.AbstractContextManager[None]:
    """Where broker, database and load run."""
    return on_cores(cores()[1])


def any_core() -> contextlib.AbstractContextManager[None]:
    """Wherever the system puts it, as on a machine in use."""
    return on_cores(_AVAILABLE)


def machine() -> dict[str, Any]:
    """Where and of what the measurement was taken."""
    return {
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "libraries": {name: version(name) for name in _LIBRARIES},
        "commit": _commit(),
    }


def _cpu_name() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _commit() -> str:
    """The commit that was measured, marked when files differ from it; empty outside a checkout."""
    answer = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=12"],
        cwd=_ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return answer.stdout.strip()
