"""The page in the documentation, written from the outcomes of a long run and nothing else."""

import re
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from deploy.local.postgres import find_programs
from deploy.local.process import MissingPart
from tests.faults.report import Line, Outcome, lines
from tests.faults.rows import ROWS

_ROOT = Path(__file__).parents[2]
PAGE = _ROOT / "docs" / "faults.md"
_POM = _ROOT / "deploy" / "local" / "pom.xml"
_ELSEWHERE = (
    (
        "F23",
        "event loop blocked for longer than its session",
        "what F22 does to a process, seen from outside",
    ),
)
_INTRODUCTION = """\
# Faults done to the system

Written by `make faults` from `build/faults/outcomes.jsonl`; change neither by hand. In each trial shops buy and customers
answer while a fault is done to real processes on real Kafka and PostgreSQL (in rows E to the one process of the
embedded mode). What the clients know of each call, ok, failed or unknown, is written down. When everything has come to
rest, the laws of the design are checked both ways: nothing missing, nothing extra. Rows S are builds that are broken
on purpose, and the checker must find them out.

Recovery is the time from the end of a fault until a purchase has come all the way through; no trial may take longer than
60 s. 0 violations in n trials leave, with 95 % confidence, a rate below 3/n. A row is repeated with
`.venv/bin/python -m tests.faults ROW --seed SEED`. Of a soak shorter than an hour the MB/h are those of a process that
is still warming up, and are not judged.
"""


def page(outcomes: Sequence[Outcome], machine: dict[str, Any]) -> str:
    """The whole page."""
    return "\n".join(
        [_INTRODUCTION, *_where(outcomes, machine), *_table(outcomes), *_measured(outcomes)]
    )


def _where(outcomes: Sequence[Outcome], machine: dict[str, Any]) -> Iterator[str]:
    libraries = ", ".join(f"{name} {version}" for name, version in machine["libraries"].items())
    commits = ", ".join(sorted({outcome.commit for outcome in outcomes if outcome.commit}))
    calls = sum(sum(outcome.calls.values()) for outcome in outcomes)
    trials = sum(outcome.trials for outcome in outcomes)
    minutes = sum(outcome.seconds for outcome in outcomes) / 60
    yield f"- **Machine:** {machine['cpu']}, {machine['cores']} cores, {machine['system']}"
    yield f"- **Versions:** Python {machine['python']}, {_servers()}, {libraries}"
    yield f"- **Commits:** {commits}"
    yield f"- **In all:** {trials:,} trials in {minutes:,.0f} minutes, {calls:,} calls by clients"
    yield ""


def _servers() -> str:
    kafka = re.search(r"<kafka.version>(.*?)<", _POM.read_text(encoding="utf-8"))
    try:
        program = find_programs() / "postgres"
        answer = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
        told = answer.stdout.split()
    except MissingPart:
        told = ["", "", "none"]
    return f"Kafka {kafka[1] if kafka else ''}, PostgreSQL {told[2]}"


def _table(outcomes: Sequence[Outcome]) -> Iterator[str]:
    found = {line.row: line for line in lines(outcomes)}
    yield "| row | fault | trials | violations | recovery, s (median / longest) | seed |"
    yield "|---|---|---:|---:|---:|---|"
    for row in ROWS:
        line = found.get(row.id)
        if line is None:
            yield f"| {row.id} | {row.title} | 0 | not run yet | | |"
        else:
            count = len(line.violations) or "0"
            cells = (row.id, row.title, line.trials, count, line.recovered, _seeds(line))
            yield "| " + " | ".join(map(str, cells)) + " |"
    for id, title, where in _ELSEWHERE:
        yield f"| {id} | {title} | | {where} | | |"
    yield ""


def _seeds(line: Line) -> str:
    more = f" and {len(line.seeds) - 1} more" if len(line.seeds) > 1 else ""
    return f"{line.seeds[0]}{more}"


def _measured(outcomes: Sequence[Outcome]) -> Iterator[str]:
    for line in lines(outcomes):
        if line.notes:
            told = "; ".join(f"{name}: {value:g}" for name, value in line.notes.items())
            yield f"- **{line.row}** measured, in its last trial: {told}"
    yield ""
    for line in lines(outcomes):
        for violation in line.violations:
            yield f"- **{line.row}**, {violation}"
