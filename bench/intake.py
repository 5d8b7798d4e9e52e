"""POST /v1/events of the real ingest process against FastAPI + pydantic + send_and_wait, on real Kafka."""

from dataclasses import dataclass

from bench.results import Result
from bench.serving import WARM_SECONDS, Sample, load, middle, notes
from bench.system import KEY, Running, System, open_system

ROUNDS = 3


@dataclass(frozen=True)
class Way:
    """One way of sending: how many events in a request, on how many connections, and the goal."""

    name: str
    batch: int
    connections: int
    goal: float


WAYS = (Way("single events", 1, 64, 5.0), Way("batches of 100", 100, 16, 8.0))


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
    arguments = (KEY, way.connections, way.batch, WARM_SECONDS, seconds)
    return load(system, server, "bench.load", arguments, batch=way.batch)


def _results(way: Way, ours: list[Sample], plain: list[Sample]) -> list[Result]:
    return [
        Result(
            "intake",
            f"{way.name}, per second of CPU",
            "events/s",
            middle(ours, "per_core"),
            middle(plain, "per_core"),
            way.goal,
            notes={"ours": notes(ours), "baseline": notes(plain)},
        ),
        Result(
            "intake",
            f"{way.name}, {way.connections} connections",
            "events/s",
            middle(ours, "rate"),
            middle(plain, "rate"),
        ),
    ]
