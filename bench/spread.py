"""What trigger does as its work is spread: over more processes, and over more of the topic's partitions."""

import asyncio
import itertools
import os
import signal
from collections.abc import Iterator, Sequence
from statistics import median

from bench.catching_up import Sample, fill, measured
from bench.events import PER_CUSTOMER, mixed
from bench.results import Result
from bench.system import Running, System, open_system
from bench.trigger import EVENTS_PER_SECOND, be_fresh, define
from services.cli.dev import WORKSPACE
from shared.contracts.keys import Key
from shared.contracts.partitioner import partition_of
from shared.contracts.topics import PARTITIONS, Topic
from shared.log import Log
from shared.log.opening import open_log

ROUNDS = 3
_SPREADS = (
    (1, 1),
    (1, 2),
    (1, 4),
    (1, PARTITIONS),
    (2, PARTITIONS),
    (3, PARTITIONS),
    (4, PARTITIONS),
)
"""How many processes, and how many partitions have events."""
_SETTLE_SECONDS = 5.0


def run(seconds: float) -> list[Result]:
    """Measure each spread in each round; `seconds` is about how long one process takes for its events."""
    with open_system() as system:
        events = int(EVENTS_PER_SECOND * seconds) // PER_CUSTOMER * PER_CUSTOMER
        return asyncio.run(_run(system, events))


async def _run(system: System, events: int) -> list[Result]:
    define(system)
    found: dict[tuple[int, int], list[Sample]] = {spread: [] for spread in _SPREADS}
    told = 0
    async with open_log(system.broker.url) as log:
        for processes, partitions in _SPREADS * ROUNDS:
            running = [system.serve("trigger", pinned=False) for _ in range(processes)]
            for each in running:
                each.wait_until("/health/ready")
            await asyncio.sleep(_SETTLE_SECONDS)
            # Stopped meanwhile, for less than its session, each has its partitions when the events are there.
            _signal(running, signal.SIGSTOP)
            await _fill(log, told, events, partitions)
            await be_fresh(system.database_url)
            _signal(running, signal.SIGCONT)
            told += events
            sample = await measured(system, log, running, "trigger", Topic.EVENTS, told)
            found[processes, partitions].append(sample)
            for each in running:
                each.end()
    least = _rate(found[1, PARTITIONS])
    return [_result(*spread, samples, least) for spread, samples in found.items()]


def _signal(running: Sequence[Running], sent: signal.Signals) -> None:
    for each in running:
        os.kill(each.pid, sent)


async def _fill(log: Log, first: int, events: int, partitions: int) -> None:
    customers = _customers(first, partitions)
    names = [next(customers) for _ in range(events // PER_CUSTOMER)]
    await fill(log, mixed(first, events, lambda number: names[number - first // PER_CUSTOMER]))


def _customers(first: int, partitions: int) -> Iterator[str]:
    """Customers of their own for each run, who all come to the first so many partitions."""
    for number in itertools.count():
        customer = f"customer-{first}-{number}"
        if partition_of(Key(WORKSPACE, customer).encode(), PARTITIONS) < partitions:
            yield customer


def _result(processes: int, partitions: int, samples: list[Sample], least: float) -> Result:
    what = f"events to decisions by {processes} process{'es' * (processes > 1)} from {partitions} partition{'s' * (partitions > 1)}"
    notes = {
        "cpu_us_each": median(s.cpu_seconds / s.records for s in samples) * 1e6,
        "database_cpu_us_each": median(s.database_cpu_seconds / s.records for s in samples) * 1e6,
        "events_per_second": [s.records / s.seconds for s in samples],
    }
    return Result("spread", what, "events/s", _rate(samples), least, notes=notes)


def _rate(samples: list[Sample]) -> float:
    return median(s.records / s.seconds for s in samples)
