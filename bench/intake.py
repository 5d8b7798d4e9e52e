"""POST /v1/events of the real ingest process on real Kafka, against FastAPI + pydantic + send_and_wait and against a
bare route that promises nothing."""

from dataclasses import dataclass

from bench.results import Result
from bench.serving import WARM_SECONDS, Sample, load, middle, notes
from bench.system import KEY, Running, System, open_system

ROUNDS = 3


@dataclass(frozen=True)
class Way:
    """One way of sending: how many events in a request, on how many connections, and the goals.

    `goal` is how many times as fast as the ordinary route, `enough` how many events a second of CPU are enough
    however fast the bare route is.
    """

    name: str
    batch: int
    connections: int
    goal: float
    enough: float


WAYS = (
    Way("single events", 1, 64, 5.0, 12_000),
    Way("batches of 100", 100, 16, 8.0, 100_000),
)
OF_BARE = 0.85


def run(seconds: float) -> list[Result]:
    """Measure the three servers by turns; `seconds` is how long each stretch of load lasts."""
    results: list[Result] = []
    with open_system() as system:
        ingest = system.serve("ingest")
        bare = system.start(["bench.bare_intake"], name="bare")
        for way in WAYS:
            plain = system.start(
                ["bench.plain_intake"],
                name=f"plain-{way.batch}",
                environment={"BENCH_BATCH": "yes" if way.batch > 1 else "no"},
            )
            servers = {"plain": plain, "bare": bare, "ours": ingest}
            for server in servers.values():
                server.wait_until("/health/ready")
            samples: dict[str, list[Sample]] = {name: [] for name in servers}
            for _ in range(ROUNDS):
                for name, server in servers.items():
                    samples[name].append(_load(system, server, way, seconds))
            plain.end()
            results += _results(way, samples)
    return results


def _load(system: System, server: Running, way: Way, seconds: float) -> Sample:
    arguments = (KEY, way.connections, way.batch, WARM_SECONDS, seconds)
    return load(system, server, "bench.load", arguments, batch=way.batch)


def _results(way: Way, samples: dict[str, list[Sample]]) -> list[Result]:
    ours, plain, bare = samples["ours"], samples["plain"], samples["bare"]
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
            f"{way.name}, per second of CPU, beside a bare route",
            "events/s",
            middle(ours, "per_core"),
            middle(bare, "per_core"),
            OF_BARE,
            enough=way.enough,
            notes={"bare": notes(bare)},
        ),
        Result(
            "intake",
            f"{way.name}, {way.connections} connections",
            "events/s",
            middle(ours, "rate"),
            middle(plain, "rate"),
        ),
    ]
