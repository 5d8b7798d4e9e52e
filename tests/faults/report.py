"""What came of the trials: kept as they end, so that a long run can go on where it was, and shown as one table."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median

from rich.table import Table

RECOVERY_SECONDS = 60.0


@dataclass(frozen=True)
class Outcome:
    """Some trials of one row between two checks."""

    row: str
    title: str
    seed: int
    trials: int
    violations: list[str]
    recovery_seconds: list[float]
    seconds: float
    calls: dict[str, int] = field(default_factory=dict)
    commit: str = ""
    notes: dict[str, float] = field(default_factory=dict)

    @property
    def held(self) -> bool:
        return not self.violations


@dataclass(frozen=True)
class Diary:
    """The outcomes so far, one line of JSON each."""

    path: Path

    def read(self) -> list[Outcome]:
        if not self.path.exists():
            return []
        lines = self.path.read_text(encoding="utf-8").splitlines()
        return [Outcome(**json.loads(line)) for line in lines]

    def add(self, outcome: Outcome) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(asdict(outcome)) + "\n")


@dataclass(frozen=True)
class Line:
    """A row of the table: all outcomes of one fault."""

    row: str
    title: str
    trials: int
    violations: list[str]
    recovery: Sequence[float]
    seeds: Sequence[int]
    notes: Mapping[str, float]
    """Of the last trial."""

    @property
    def recovered(self) -> str:
        """The median and the longest recovery, in seconds."""
        return f"{median(self.recovery):.1f} / {max(self.recovery):.1f}" if self.recovery else ""


def lines(outcomes: Sequence[Outcome]) -> Iterator[Line]:
    """One line per row, in the order in which rows were first run."""
    for row in dict.fromkeys(outcome.row for outcome in outcomes):
        mine = [outcome for outcome in outcomes if outcome.row == row]
        yield Line(
            row,
            mine[-1].title,
            sum(outcome.trials for outcome in mine),
            [f"seed {o.seed}: {violation}" for o in mine for violation in o.violations],
            [seconds for outcome in mine for seconds in outcome.recovery_seconds],
            [outcome.seed for outcome in mine],
            mine[-1].notes,
        )


def table(outcomes: Sequence[Outcome]) -> Table:
    """For the terminal."""
    shown = Table(title="Faults done to the system, and what was lost, doubled or miscounted")
    for name in ("row", "fault", "trials", "violations", "recovery s (median / longest)"):
        shown.add_column(name, justify="left" if name in ("row", "fault") else "right")
    for line in lines(outcomes):
        count = str(len(line.violations))
        mark = count if not line.violations else f"[bold red]{count}"
        shown.add_row(line.row, line.title, str(line.trials), mark, line.recovered)
    return shown
