"""Runs rows of faults: workload on, faults, probe, rest, check."""

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from deploy.local.process import MissingPart
from tests.faults.laboratory import Laboratory
from tests.faults.laws import check
from tests.faults.one_process import open_one_process
from tests.faults.releases import open_two_releases
from tests.faults.report import RECOVERY_SECONDS, Outcome
from tests.faults.rows import Row
from tests.faults.setup import Setup
from tests.faults.starting import open_distributed
from tests.faults.workload import Workload

_PROBE_SECONDS = 150.0
LOGS = Path(__file__).parents[2] / "build" / "faults" / "logs"


async def run_row(
    lab: Laboratory, row: Row, trials: int, seed: int, done: Callable[[Row], None] = lambda _: None
) -> Outcome:
    """Do the fault so many times in one workspace and check once; `done` is called after each trial."""
    started = time.monotonic()
    rng = random.Random(seed)
    recovery: list[float] = []
    finished = 0
    violations: list[str] = []
    async with lab.workspace(rng) as workload:
        try:
            async with workload.running():
                for _ in range(trials):
                    await row.fault(lab, rng)
                    if row.setup.sabotage is None:  # a lossy build may lose the probe
                        recovery.append(await _recovered(workload))
                    finished += 1
                    done(row)
                await lab.heal()
            await workload.answer_all()
            await lab.quiet()
            seen = await lab.see()
            violations = [str(violation) for violation in check(workload.ledger, seen)]
        except AssertionError as error:
            violations.append(f"law 10: {error}")
            await lab.heal()
        slow = [seconds for seconds in recovery if seconds > RECOVERY_SECONDS]
        violations += [f"recovery took {seconds:.0f} s" for seconds in slow]
        if violations and row.setup.sabotage is None:
            lab.keep_logs(LOGS / f"{row.id}-{seed}")
        calls = {str(fate): n for fate, n in workload.ledger.calls.items()}
    if row.setup.sabotage is not None:
        violations = [] if violations else [f"a {row.setup.sabotage} build was not found out"]
    seconds = time.monotonic() - started
    notes = workload.ledger.notes
    return Outcome(
        row.id, row.title, seed, finished, violations, recovery, seconds, calls, notes=notes
    )


async def _recovered(workload: Workload) -> float:
    """How long until a fresh purchase has come all the way through."""
    started = time.monotonic()
    try:
        async with asyncio.timeout(_PROBE_SECONDS):
            await workload.probe()
    except TimeoutError:
        raise AssertionError(f"a purchase did not come through in {_PROBE_SECONDS:.0f} s") from None
    return time.monotonic() - started


async def run_rows(
    plan: Sequence[tuple[Row, int, int]],
    on_outcome: Callable[[Outcome], None],
    done: Callable[[Row], None],
    on_skipped: Callable[[Row, str], None],
) -> None:
    """Run (row, trials, seed) after one another; rows that need the same laboratory share one, and are skipped
    where a part of it is missing."""
    for setup in dict.fromkeys(row.setup for row, _, _ in plan):
        mine = [(row, trials, seed) for row, trials, seed in plan if row.setup == setup]
        try:
            async with _open(setup) as lab:
                for row, trials, seed in mine:
                    on_outcome(await run_row(lab, row, trials, seed, done))
        except MissingPart as missing:
            for row, _, _ in mine:
                on_skipped(row, str(missing))


def _open(setup: Setup) -> AbstractAsyncContextManager[Laboratory]:
    if setup.previous:
        return open_two_releases()
    return open_one_process(setup) if setup.embedded else open_distributed(setup)
