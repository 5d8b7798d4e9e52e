"""Runs rows of faults: workload on, faults, probe, rest, check."""

import asyncio
import random
import time
from collections.abc import Callable, Sequence

from tests.faults.laboratory import Laboratory, open_laboratory
from tests.faults.laws import check
from tests.faults.report import RECOVERY_SECONDS, Outcome
from tests.faults.rows import Row
from tests.faults.workload import Workload

_PROBE_SECONDS = 150.0


async def run_row(
    lab: Laboratory, row: Row, trials: int, seed: int, done: Callable[[Row], None] = lambda _: None
) -> Outcome:
    """Do the fault so many times in one workspace and check once; `done` is called after each trial."""
    started = time.monotonic()
    rng = random.Random(seed)
    recovery: list[float] = []
    violations: list[str] = []
    async with lab.workspace(rng) as workload:
        try:
            async with workload.running():
                for _ in range(trials):
                    await row.fault(lab, rng)
                    recovery.append(await _recovered(workload))
                    done(row)
                await lab.heal()
            await workload.answer_all()
            await lab.quiet(workload.client)
            seen = await lab.see(workload)
            violations = [str(violation) for violation in check(workload.ledger, seen)]
        except AssertionError as error:
            violations.append(f"law 10: {error}")
            await lab.heal()
        slow = [seconds for seconds in recovery if seconds > RECOVERY_SECONDS]
        violations += [f"recovery took {seconds:.0f} s" for seconds in slow]
        calls = {str(fate): n for fate, n in workload.ledger.calls.items()}
    if row.sabotage is not None:
        violations = [] if violations else [f"a {row.sabotage} build was not found out"]
    seconds = time.monotonic() - started
    return Outcome(row.id, row.title, seed, len(recovery), violations, recovery, seconds, calls)


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
) -> None:
    """Run (row, trials, seed) after one another; rows that need the same laboratory share one."""
    for needs in dict.fromkeys((row.replicas, row.sabotage) for row, _, _ in plan):
        replicas, sabotage = needs
        async with open_laboratory(replicas=replicas, sabotage=sabotage) as lab:
            for row, trials, seed in plan:
                if (row.replicas, row.sabotage) == needs:
                    on_outcome(await run_row(lab, row, trials, seed, done))
