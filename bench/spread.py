"""What trigger does as its work is spread: over more processes, and over more of the topic's partitions."""

import asyncio
import itertools
from collections.abc import Iterator
from statistics import median

from bench.catching_up import Sample
from bench.events import PER_CUSTOMER, mixed
from bench.results import Result
from bench.system import System, open_system
from bench.trigger import EVENTS_PER_SECOND, decided, define
from services.cli.dev import WORKSPACE
from shared.contracts.keys import Key
from shared.contracts.partitioner import partition_of
from shared.contracts.topics import PARTITIONS
from shared.log import Outgoing
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
            outgoing = _events(told, events, partitions)
            sample = await decided(system, log, outgoing, processes=processes, pinned=False)
            found[processes, partitions].append(sample)
            told += events
    least = _rate(found[1, PARTITIONS])
    return [_result(*spread, samples, least) for spread, samples in found.items()]


def _events(first: int, events: int, partitions: int) -> list[Outgoing]:
    customers = _customers(first, partitions)
    names = [next(customers) for _ in range(events // PER_CUSTOMER)]
    return mixed(first, events, lambda number: names[number - first // PER_CUSTOMER])


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
