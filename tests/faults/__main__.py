"""`python -m tests.faults`: the fault laboratory, short (a few trials a row) or long (hundreds), resumable."""

import asyncio
import logging
import random
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from bench.measuring import machine
from deploy.local.process import interruptible
from tests.faults.report import Diary, Outcome, page, table
from tests.faults.rows import ROWS, Row
from tests.faults.run import run_rows

_ROOT = Path(__file__).parents[2]
_DIARY = _ROOT / "build" / "faults" / "outcomes.jsonl"
_PAGE = _ROOT / "docs" / "faults.md"


def main(
    rows: Annotated[
        list[str] | None, typer.Argument(help="Rows such as R F7 F13; all by default")
    ] = None,
    long: Annotated[bool, typer.Option(help="Hundreds of trials, and the page in docs/")] = False,
    trials: Annotated[int | None, typer.Option(help="This many trials of each row", min=1)] = None,
    seed: Annotated[int | None, typer.Option(help="Repeat what was done with this seed")] = None,
    fresh: Annotated[bool, typer.Option(help="Forget the outcomes of a long run so far")] = False,
) -> None:
    """Do faults to a real system under load, and check its laws. Exits with 1 when one did not hold."""
    logging.disable(logging.WARNING)
    known = {row.id for row in ROWS}
    if unknown := set(rows or ()) - known:
        raise typer.BadParameter(
            f"no such row: {', '.join(sorted(unknown))}; there are {', '.join(sorted(known))}"
        )
    diary = Diary(_DIARY)
    if fresh:
        _DIARY.unlink(missing_ok=True)
    before = diary.read() if long else []
    chosen = [row for row in ROWS if not rows or row.id in rows]
    plan = _plan(chosen, before, long=long, trials=trials, seed=seed)
    outcomes = [*before, *_run(plan, diary if long else None)]
    console = Console()
    console.print(table(outcomes))
    for outcome in outcomes:
        for violation in outcome.violations:
            console.print(f"[red]{outcome.row} seed {outcome.seed}: {violation}")
    if long:
        _PAGE.write_text(page(outcomes, _machine()), encoding="utf-8")
    sys.exit(any(not outcome.held for outcome in outcomes))


def _plan(
    rows: list[Row], before: list[Outcome], *, long: bool, trials: int | None, seed: int | None
) -> list[tuple[Row, int, int]]:
    """What is left to do, in groups between two checks, each with its seed."""
    plan: list[tuple[Row, int, int]] = []
    for row in rows:
        wanted = trials or (row.long if long else row.short)
        left = wanted - sum(outcome.trials for outcome in before if outcome.row == row.id)
        while left > 0:
            group = min(left, row.together)
            plan.append((row, group, seed if seed is not None else random.randrange(2**32)))
            left -= group
    return plan


def _run(plan: list[tuple[Row, int, int]], diary: Diary | None) -> list[Outcome]:
    outcomes: list[Outcome] = []
    progress = Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    )
    with progress:
        task = progress.add_task("starting", total=sum(trials for _, trials, _ in plan))

        def done(row: Row) -> None:
            progress.update(task, advance=1, description=f"{row.id} {row.title}"[:50])

        def on_outcome(outcome: Outcome) -> None:
            outcomes.append(replace(outcome, commit=_commit()))
            state = "held" if outcome.held else "NOT HELD"
            progress.console.print(
                f"{outcome.row} seed {outcome.seed}: {outcome.trials} trials, {state}, {outcome.seconds:.0f} s"
            )
            if diary is not None:
                diary.add(outcomes[-1])

        def on_skipped(row: Row, missing: str) -> None:
            progress.console.print(
                f"[bold yellow]{row.id} SKIPPED: {row.title}; missing: {missing}"
            )

        with interruptible():
            asyncio.run(run_rows(plan, on_outcome, done, on_skipped))
    return outcomes


def _commit() -> str:
    return str(machine()["commit"])


def _machine() -> str:
    found = machine()
    return f"{found['cpu']}, {found['cores']} cores, {found['system']}, Python {found['python']}"


if __name__ == "__main__":
    typer.run(main)
