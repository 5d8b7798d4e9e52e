"""The real alerting process sending due webhooks against httpx with a transaction for each, on the same rows."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import asyncpg
import uvloop

from bench.due import make_due
from bench.measuring import busy_seconds, cpu_seconds, memory, other_cores, others_share
from bench.receiver import Arrival, Receiver, receiving
from bench.results import Result
from bench.system import Running, System, backends, open_system

ROUNDS = 3
PER_SECOND = 2_500
PLAIN_PER_SECOND = 100
"""How many deliveries a round has for each second that it should take."""
_DEADLINE_SECONDS = 120.0
_VERIFIED = 200


@dataclass(frozen=True)
class Way:
    """How many endpoints the deliveries are for; one endpoint is sent at most 16 at once."""

    endpoints: int
    goal: float | None


WAYS = (Way(8, 3_000.0), Way(1, None))


@dataclass(frozen=True)
class Sample:
    """One fill delivered: between the first webhook that was seen to arrive and the last that was recorded."""

    items: int
    seconds: float
    cpu_seconds: float
    database_cpu_seconds: float
    others: float
    rss_mb: float


def run(seconds: float) -> list[Result]:
    """Measure both by turns; `seconds` is about how long a round lasts."""
    results: list[Result] = []
    for way in WAYS:
        with open_system() as system, other_cores():
            results += uvloop.run(_run(system, way, seconds))
    return results


async def _run(system: System, way: Way, seconds: float) -> list[Result]:
    async with receiving(way.endpoints) as receiver:
        secrets = _define(system, receiver)
        bare = system.server.create_database(system.database_url)
        ours, plain = [], []
        alerting = system.serve("alerting")
        alerting.wait_until("/health/ready")
        for _ in range(ROUNDS):
            count = int(PLAIN_PER_SECOND * seconds)
            other = system.start(
                ["bench.plain_delivery"],
                name="plain-delivery",
                environment={"AFTERWORD_DATABASE_URL": bare},
            )
            plain.append(await _deliver(other, "plain", bare, receiver, count))
            other.end()
            count = int(PER_SECOND * seconds)
            url = system.database_url
            ours.append(await _deliver(alerting, "alerting", url, receiver, count))
        _verify(receiver.arrivals, secrets)
        attempts = {"ours": await _attempts(system.database_url), "plain": await _attempts(bare)}
    notes = {"ours": _notes(ours) | attempts["ours"], "baseline": _notes(plain) | attempts["plain"]}
    return _results(way, ours, plain, notes)


def _define(system: System, receiver: Receiver) -> dict[int, str]:
    """Put an endpoint for each port of the receiver through the real service; the secrets by port."""
    running = system.serve("alerting")
    running.wait_until("/health/ready")
    secrets = {}
    for number, port in enumerate(receiver.ports):
        path = f"/v1/endpoints/e{number}"
        running.request("PUT", path, {"url": receiver.url(number)})
        secrets[port] = running.request("GET", f"{path}/secret")["secret"]
    running.end()
    return secrets


async def _deliver(
    running: Running, service: str, url: str, receiver: Receiver, count: int
) -> Sample:
    """Fill and wait until all of it has arrived, once, and is recorded."""
    before = len(receiver.arrivals)
    await make_due(url, len(receiver.ports), count)
    await _until(running, lambda: len(receiver.arrivals) > before)
    handled = len(receiver.arrivals) - before
    at, spent, busy = time.perf_counter(), cpu_seconds(running.pid), busy_seconds()
    at_first = await backends(url, service)
    await _until(running, lambda: len(receiver.arrivals) >= before + count)
    await _recorded(running, url)
    seconds, own = time.perf_counter() - at, cpu_seconds(running.pid) - spent
    others = others_share(busy_seconds() - busy, own, seconds)
    spent_by = await backends(url, service)
    database = sum(cpu - at_first.get(pid, 0.0) for pid, cpu in spent_by.items())
    if len({one.headers["webhook-id"] for one in receiver.arrivals[before:]}) != count:
        raise RuntimeError("a webhook came twice or another one than was due")
    return Sample(count - handled, seconds, own, database, others, memory(running.pid).rss)


async def _until(running: Running, reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _DEADLINE_SECONDS
    while not reached():
        if time.monotonic() > deadline or not running.process.running:
            raise RuntimeError(f"deliveries are missing: {running.process.said[-2000:]}")
        await asyncio.sleep(0.005)


async def _recorded(running: Running, url: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        while await connection.fetchval(
            "SELECT count(*) FROM alerting.deliveries WHERE state <> 'delivered'"
        ):
            if not running.process.running:
                raise RuntimeError(f"deliveries are not recorded: {running.process.said[-2000:]}")
            await asyncio.sleep(0.01)
    finally:
        await connection.close()


async def _attempts(url: str) -> dict[str, float]:
    """How long the POSTs took, of which exactly one stands for each delivery."""
    connection = await asyncpg.connect(url)
    try:
        row = await connection.fetchrow(
            """
            SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY duration_ms) AS p50,
                percentile_disc(0.99) WITHIN GROUP (ORDER BY duration_ms) AS p99,
                count(*) AS made, (SELECT count(*) FROM alerting.deliveries) AS due
            FROM alerting.attempts
            """
        )
    finally:
        await connection.close()
    if row["made"] != row["due"]:
        raise RuntimeError(f"{row['made']} attempts stand for {row['due']} deliveries")
    return {"post_p50_ms": row["p50"], "post_p99_ms": row["p99"]}


def _verify(arrivals: Sequence[Arrival], secrets: Mapping[int, str]) -> None:
    """Prove the signatures of some webhooks from the first to the last; SignatureError for a wrong one."""
    for arrival in arrivals[:: max(1, len(arrivals) // _VERIFIED)]:
        arrival.verify([secrets[arrival.port]])


def _notes(samples: Sequence[Sample]) -> dict[str, float]:
    return {
        "cpu_us_per_item": median(s.cpu_seconds / s.items for s in samples) * 1e6,
        "database_cpu_us_per_item": median(s.database_cpu_seconds / s.items for s in samples) * 1e6,
        "server_core": median(s.cpu_seconds / s.seconds for s in samples),
        "rss_mb": median(s.rss_mb for s in samples),
        "others_core": median(s.others for s in samples),
    }


def _results(
    way: Way, ours: Sequence[Sample], plain: Sequence[Sample], notes: dict[str, dict[str, float]]
) -> list[Result]:
    to = "1 endpoint" if way.endpoints == 1 else f"{way.endpoints} endpoints"
    rate, plain_rate = (median(s.items / s.seconds for s in side) for side in (ours, plain))
    own, plain_own = (median(s.items / s.cpu_seconds for s in side) for side in (ours, plain))
    what = f"webhooks signed and recorded, {to}"
    return [
        Result("delivery", what, "/s", rate, plain_rate, way.goal, at_least=True, notes=notes),
        Result("delivery", f"{to}, per second of CPU", "/s", own, plain_own),
    ]
