"""POST /v1/events of the real ingest process against FastAPI + pydantic + send_and_wait, on real Kafka."""

import json
import subprocess
import sys
from dataclasses import dataclass
from statistics import median

from bench.measuring import busy_seconds, cpu_seconds, other_cores, others_share
from bench.results import Result
from bench.system import KEY, Running, System, open_system

ROUNDS = 3
_WARM_SECONDS = 1.0


@dataclass(frozen=True)
class Way:
    """One way of sending: how many events in a request, on how many connections, and the goal."""

    name: str
    batch: int
    connections: int
    goal: float


WAYS = (Way("single events", 1, 64, 5.0), Way("batches of 100", 100, 16, 8.0))


@dataclass(frozen=True)
class Sample:
    """One stretch of load on one server."""

    events: int
    seconds: float
    cpu_seconds: float
    p50_ms: float
    p99_ms: float
    load_core: float
    others: float

    @property
    def rate(self) -> float:
        return self.events / self.seconds

    @property
    def per_core(self) -> float:
        """Events in a second of the server's own CPU: what one core would do, whoever else is about."""
        return self.events / self.cpu_seconds


def run(seconds: float) -> list[Result]:
    """Measure both servers by turns; `seconds` is how long each stretch of load lasts."""
    results: list[Result] = []
    with open_system() as system:
        ingest = system.serve("ingest")
        ingest.wait_until("/health/ready")
        for way in WAYS:
            plain = system.start(
                ["bench.plain_intake"],
                name=f"plain-{way.batch}",
                environment={"BENCH_BATCH": "yes" if way.batch > 1 else "no"},
            )
            plain.wait_until("/health/ready")
            samples: dict[str, list[Sample]] = {"ours": [], "plain": []}
            for _ in range(ROUNDS):
                samples["plain"].append(_load(system, plain, way, seconds))
                samples["ours"].append(_load(system, ingest, way, seconds))
            plain.end()
            results += _results(way, samples["ours"], samples["plain"])
    return results


def _load(system: System, server: Running, way: Way, seconds: float) -> Sample:
    arguments = (server.port, KEY, way.connections, way.batch, _WARM_SECONDS, seconds)
    with other_cores():
        child = subprocess.Popen(
            [sys.executable, "-m", "bench.load", *map(str, arguments)],
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
    if found["refused"] or not found["events"]:
        raise RuntimeError(f"the load met refusals ({found['refused']}): {found['refusal']}")
    return Sample(
        found["events"],
        found["seconds"],
        spent,
        found["p50_ms"],
        found["p99_ms"],
        found["own_core"],
        others_share(busy, spent, found["seconds"]),
    )


def _results(way: Way, ours: list[Sample], plain: list[Sample]) -> list[Result]:
    def middle(samples: list[Sample], name: str) -> float:
        return float(median(getattr(sample, name) for sample in samples))

    notes = {
        side: {
            "cpu_us_per_event": 1e6 / middle(samples, "per_core"),
            "p50_ms": middle(samples, "p50_ms"),
            "p99_ms": middle(samples, "p99_ms"),
            "server_core": median(s.cpu_seconds / s.seconds for s in samples),
            "load_core": middle(samples, "load_core"),
            "others_core": middle(samples, "others"),
        }
        for side, samples in (("ours", ours), ("baseline", plain))
    }
    return [
        Result(
            "intake",
            f"{way.name}, per second of CPU",
            "events/s",
            middle(ours, "per_core"),
            middle(plain, "per_core"),
            way.goal,
            notes=notes,
        ),
        Result(
            "intake",
            f"{way.name}, {way.connections} connections",
            "events/s",
            middle(ours, "rate"),
            middle(plain, "rate"),
        ),
    ]
