"""`python -m tests.faults`: the fault laboratory, short (a few trials a row) or long (hundreds), resumable."""

import json
import logging
import os
import random
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated

import typer
import uvloop
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    Task,
    TextColumn,
    TimeRemainingColumn,
)

from bench.measuring import machine
from deploy.local.process import interruptible
from tests.faults.page import PAGE, page
from tests.faults.report import Diary, Outcome, table
from tests.faults.rows import QUICK, ROWS, Row
from tests.faults.run import run_rows

_DIRECTORY = Path(__file__).parents[2] / "build" / "faults"
_DIARY = _DIRECTORY / "outcomes.jsonl"
_LAST = _DIRECTORY / "last.json"


def main(
    rows: Annotated[
        list[str] | None, typer.Argument(help="Rows such as R F7 F13; all by default")
    ] = None,
    long: Annotated[bool, typer.Option(help="Hundreds of trials, and the page in docs/")] = False,
    quick: Annotated[bool, typer.Option(help="One trial of the rows that CI does")] = False,
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
    chosen = [
        row for row in ROWS if (not rows or row.id in rows) and (not quick or row.id in QUICK)
    ]
    wanted = {row: trials or (1 if quick else row.long if long else row.short) for row in chosen}
    plan = _plan(wanted, before, seed)
    outcomes = [*before, *_run(plan, diary if long else None)]
    document = {"machine": machine(), "outcomes": [asdict(outcome) for outcome in outcomes]}
    _DIRECTORY.mkdir(parents=True, exist_ok=True)
    _LAST.write_text(json.dumps(document, indent=1), encoding="utf-8")
    console = Console()
    console.print(table(outcomes))
    for outcome in outcomes:
        for violation in outcome.violations:
            console.print(f"[red]{outcome.row} seed {outcome.seed}: {violation}")
    if long:
        PAGE.write_text(page(outcomes, machine()), encoding="utf-8")
    undone = {row.id for row, _, _ in plan} - {outcome.row for outcome in outcomes}
    if undone:
        console.print(f"[bold yellow]not done: {', '.join(sorted(undone))}")
    sys.exit(any(not outcome.held for outcome in outcomes) or bool(undone and _no_skips()))


def _no_skips() -> bool:
    """As in CI: what this machine lacks a part for fails the run."""
    return bool(os.environ.get("AFTERWORD_NO_SKIPS"))


def _plan(
    wanted: dict[Row, int], before: list[Outcome], seed: int | None
) -> list[tuple[Row, int, int]]:
    """What is left to do, in groups between two checks, each with its seed."""
    plan: list[tuple[Row, int, int]] = []
    for row, trials in wanted.items():
        left = trials - sum(outcome.trials for outcome in before if outcome.row == row.id)
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
                f"{outcome.row} seed {outcome.seed}: {outcome.trials} trials, {state}, {outcome.seconds:.0f} s;"
                f" {_left(progress.tasks[task])}"
            )
            if diary is not None:
                diary.add(outcomes[-1])

        def on_skipped(row: Row, missing: str) -> None:
            progress.console.print(
                f"[bold yellow]{row.id} SKIPPED: {row.title}; missing: {missing}"
            )

        with interruptible():
            uvloop.run(run_rows(plan, on_outcome, done, on_skipped))
    return outcomes


def _left(task: Task) -> str:
    """How much there is still to do, and about how long that takes at the pace so far."""
    left = (task.total or 0) - task.completed
    minutes = (task.elapsed or 0) / task.completed * left / 60 if task.completed else 0
    return f"{left:.0f} left, about {minutes:.0f} min"


def _commit() -> str:
    return str(machine()["commit"])


if __name__ == "__main__":
    typer.run(main)
