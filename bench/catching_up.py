"""A service's real process catching up on what waits in the log, against its own database transactions run bare."""

import asyncio
import os
import signal
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import NamedTuple

import asyncpg

from bench.measuring import busy_seconds, cpu_seconds, others_share
from bench.recording import Bare
from bench.results import Result
from bench.system import Running, System, backends
from shared.contracts.partitioner import partition_of
from shared.contracts.topics import PARTITIONS
from shared.log import Log, Outgoing, Record

_DEADLINE_SECONDS = 120.0
_SETTLE_SECONDS = 5.0
"""How long a group has to give each process its partitions."""
_LOOK_SECONDS = 0.25
"""Each look costs the broker and this program a few milliseconds of the core that the database is on."""


@dataclass(frozen=True)
class Sample:
    """What was handled, from the moment that it might begin until all was committed, and what it cost."""

    records: int
    seconds: float
    cpu_seconds: float
    database_cpu_seconds: float
    others: float


async def fill(log: Log, outgoing: Sequence[Outgoing], at_once: int = 2_000) -> None:
    """Put all of it into the log, acknowledged."""
    async with log.producer() as producer:
        for start in range(0, len(outgoing), at_once):
            await producer.send(outgoing[start : start + at_once])


def batches(outgoing: Sequence[Outgoing], size: int) -> list[list[Record]]:
    """What a consumer would be given: batches of one partition each, in order."""
    now_ms = int(time.time() * 1000)
    lanes: dict[int, list[Record]] = defaultdict(list)
    for out in outgoing:
        lane = lanes[partition_of(out.key, PARTITIONS)]
        lane.append(Record(out.topic, 0, len(lane), out.key, out.value, (), now_ms))
    return [lane[at : at + size] for lane in lanes.values() for at in range(0, len(lane), size)]


class _Reading(NamedTuple):
    """What the processes and their database have spent since they began."""

    at: float
    busy: float
    cpu_seconds: float
    by_backend: dict[int, float]

    def since(self, first: "_Reading", records: int) -> Sample:
        seconds, own = self.at - first.at, self.cpu_seconds - first.cpu_seconds
        return Sample(
            records,
            seconds,
            own,
            sum(spent - first.by_backend.get(pid, 0.0) for pid, spent in self.by_backend.items()),
            others_share(self.busy - first.busy, own, seconds),
        )


async def catch_up(
    system: System,
    log: Log,
    service: str,
    topic: str,
    outgoing: Sequence[Outgoing],
    *,
    meanwhile: Callable[[], Awaitable[None]] | None = None,
    processes: int = 1,
    pinned: bool = True,
) -> Sample:
    """Start processes, give them these records all at once, and measure from then on until all are committed.

    They are stopped while the log is filled and `meanwhile` is done, for less than their session, so that they have
    their partitions and have done nothing yet when the measuring begins. Raises `RuntimeError` when they do not get
    through.
    """
    running = [system.serve(service, pinned=pinned) for _ in range(processes)]
    for each in running:
        each.wait_until("/health/ready")
    await asyncio.sleep(_SETTLE_SECONDS)
    before = await _handled(log, service, topic)
    _signal(running, signal.SIGSTOP)
    await fill(log, outgoing)
    if meanwhile is not None:
        await meanwhile()
    first = await _read(system, running, service)
    _signal(running, signal.SIGCONT)
    await _all_handled(log, running, service, topic, before + len(outgoing))
    last = await _read(system, running, service)
    for each in running:
        each.end()
    return last.since(first, len(outgoing))


async def _all_handled(
    log: Log, running: Sequence[Running], service: str, topic: str, expected: int
) -> None:
    deadline = time.monotonic() + _DEADLINE_SECONDS
    while (handled := await _handled(log, service, topic)) < expected:
        for each in running:
            if time.monotonic() > deadline or not each.process.running:
                raise RuntimeError(
                    f"{service} did not catch up ({handled}): {each.process.said[-2000:]}"
                )
        await asyncio.sleep(_LOOK_SECONDS)


def _signal(running: Sequence[Running], sent: signal.Signals) -> None:
    for each in running:
        os.kill(each.pid, sent)


async def _read(system: System, running: Sequence[Running], service: str) -> _Reading:
    spent = sum(cpu_seconds(each.pid) for each in running)
    at, busy = time.perf_counter(), busy_seconds()
    return _Reading(at, busy, spent, await backends(system.database_url, service))


async def _handled(log: Log, service: str, topic: str) -> int:
    """How many records the group has committed, over all partitions."""
    lag = await log.lag(service, [topic])
    return sum(each.committed or 0 for each in lag.values())


async def same_rows(query: str, url: str, bare: str) -> dict[str, int]:
    """What the query counts, by name; RuntimeError when the process and the bare transactions left other rows."""
    counts, expected = await _counted(query, url), await _counted(query, bare)
    if counts != expected:
        raise RuntimeError(f"the process and the bare transactions differ: {counts} and {expected}")
    return counts


async def _counted(query: str, url: str) -> dict[str, int]:
    connection = await asyncpg.connect(url)
    try:
        return {row[0]: row[1] for row in await connection.fetch(query)}
    finally:
        await connection.close()


@dataclass
class Rounds:
    """Both ways, measured by turns: the process on `records` records a round, and their transactions bare."""

    records: int
    process: list[Sample] = field(default_factory=list)
    bare: list[Bare] = field(default_factory=list)

    def results(
        self, part: str, what: str, unit: str, goal: float, rows: Mapping[str, int]
    ) -> list[Result]:
        """The medians on the clock, held against the goal, and the same per second of CPU."""
        rates = [
            (s.records / s.seconds, self.records / b.seconds)
            for s, b in zip(self.process, self.bare, strict=True)
        ]
        value, baseline = (median(side) for side in zip(*rates, strict=True))
        process, bare = self._process(), self._bare()
        notes = {"process": process, "bare": bare, "rounds": rates, "rows": dict(rows)}
        per_cpu = "the same per second of CPU, database included"
        return [
            Result(part, what, unit, value, baseline, goal, notes=notes),
            Result(part, per_cpu, unit, _per_second(process), _per_second(bare)),
        ]

    def _process(self) -> dict[str, float]:
        return {
            "cpu_us_each": median(s.cpu_seconds / s.records for s in self.process) * 1e6,
            "database_cpu_us_each": median(s.database_cpu_seconds / s.records for s in self.process)
            * 1e6,
            "server_core": median(s.cpu_seconds / s.seconds for s in self.process),
            "others_core": median(s.others for s in self.process),
        }

    def _bare(self) -> dict[str, float]:
        return {
            "cpu_us_each": median(b.cpu_seconds for b in self.bare) / self.records * 1e6,
            "database_cpu_us_each": median(b.database_cpu_seconds for b in self.bare)
            / self.records
            * 1e6,
        }


def _per_second(cost: Mapping[str, float]) -> float:
    return 1e6 / (cost["cpu_us_each"] + cost["database_cpu_us_each"])
