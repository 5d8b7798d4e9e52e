"""Stretches of requests on one server process: how fast it answered and what that cost it."""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from bench.measuring import busy_seconds, cpu_seconds, memory, other_cores, others_share
from bench.system import Running, System

WARM_SECONDS = 1.0


@dataclass(frozen=True)
class Sample:
    """One stretch of load on one server."""

    items: int
    seconds: float
    cpu_seconds: float
    p50_ms: float
    p99_ms: float
    load_core: float
    others: float
    rss_mb: float

    @property
    def rate(self) -> float:
        return self.items / self.seconds

    @property
    def per_core(self) -> float:
        """Items in a second of the server's own CPU: what one core would do, whoever else is about."""
        return self.items / self.cpu_seconds


def load(
    system: System, server: Running, module: str, arguments: Sequence[object], *, batch: int = 1
) -> Sample:
    """Run `python -m MODULE PORT ARGUMENTS`, a program that calls `drive`, on the other cores.

    `batch` is how many items a request brings. One wrong answer fails the run.
    """
    with other_cores():
        child = subprocess.Popen(
            [sys.executable, "-m", module, str(server.port), *map(str, arguments)],
            stdout=subprocess.PIPE,
            text=True,
            env=system.environment,
        )
    with child:
        assert child.stdout is not None
        assert child.stdout.readline() == "go\n", "the load did not start"
        before, busy = cpu_seconds(server.pid), busy_seconds()
        line = child.stdout.readline()
        spent, busy = cpu_seconds(server.pid) - before, busy_seconds() - busy
    found = json.loads(line)
    if found["wrong"] or not found["right"]:
        raise RuntimeError(f"the load met wrong answers ({found['wrong']}): {found['first_wrong']}")
    return Sample(
        found["right"] * batch,
        found["seconds"],
        spent,
        found["p50_ms"],
        found["p99_ms"],
        found["own_core"],
        others_share(busy, spent, found["seconds"]),
        memory(server.pid).rss,
    )


def middle(samples: Sequence[Sample], name: str) -> float:
    """The median of an attribute over the rounds."""
    return float(median(getattr(sample, name) for sample in samples))


def notes(samples: Sequence[Sample]) -> dict[str, float]:
    """What stands behind the figure of one side."""
    return {
        "cpu_us_per_item": 1e6 / middle(samples, "per_core"),
        "p50_ms": middle(samples, "p50_ms"),
        "p99_ms": middle(samples, "p99_ms"),
        "rss_mb": middle(samples, "rss_mb"),
        "server_core": median(s.cpu_seconds / s.seconds for s in samples),
        "load_core": middle(samples, "load_core"),
        "others_core": middle(samples, "others"),
    }
