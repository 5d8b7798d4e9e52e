"""`python -m bench [PART ...]`: measure, print one table, leave one JSON; `make bench` runs all parts."""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench import (
    delivery,
    end_to_end,
    intake,
    latency,
    memory,
    page,
    scale,
    scoring,
    spread,
    trigger,
)
from bench.measuring import machine
from bench.results import Result
from deploy.local.process import MissingPart, interruptible
from shared.telemetry import configure_logging

RESULT = Path("build/bench/bench.json")
_SECONDS = 3.0
_DISTURBED = 0.2


PARTS: dict[str, Callable[[float], list[Result]]] = {
    "intake": intake.run,
    "scoring": scoring.run,
    "trigger": trigger.run,
    "page": page.run,
    "delivery": delivery.run,
    "latency": latency.run,
    "end-to-end": end_to_end.run,
    "memory": memory.run,
    "scale": scale.run,
    "spread": spread.run,
}
_BY_NAME_ONLY = ("scale", "spread")
"""What takes many minutes is run when it is asked for."""


def main() -> None:
    """Exit 0 whatever was measured; with --strict 1 when a goal was missed, so that noise fails nobody's build."""
    options = _options()
    configure_logging("warning", json=False)
    console = Console(highlight=False)
    results: list[Result] = []
    try:
        with interruptible():
            for part in options.parts or [part for part in PARTS if part not in _BY_NAME_ONLY]:
                console.print(f"measuring {part} ...", style="dim")
                results += PARTS[part](options.seconds)
    except MissingPart as missing:
        sys.exit(f"missing: {missing}")
    console.print(_table(results))
    if disturbed := _disturbed(results):
        console.print(
            f"[yellow]Doubt {', '.join(disturbed)}: other work ran on the measured core.[/]"
        )
    _save(results)
    console.print(f"details: {RESULT}", style="dim")
    if options.strict and any(result.met is False for result in results):
        sys.exit(1)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "parts",
        nargs="*",
        metavar="PART",
        help=f"which of {', '.join(PARTS)}; without it all but {', '.join(_BY_NAME_ONLY)}",
    )
    parser.add_argument(
        "--seconds", type=float, default=_SECONDS, help="how long each stretch of load lasts"
    )
    parser.add_argument("--strict", action="store_true", help="exit 1 when a goal is missed")
    options = parser.parse_args()
    if unknown := [part for part in options.parts if part not in PARTS]:
        parser.error(f"no such part: {', '.join(unknown)}; there are {', '.join(PARTS)}")
    return options


def _table(results: Sequence[Result]) -> Table:
    table = Table("what", "unit", title="Speed and size, against baselines of the same run")
    for name in ("value", "baseline", "ratio", "goal"):
        table.add_column(name, justify="right")
    table.add_column("")
    for result in results:
        table.add_row(
            f"{result.part}: {result.what}",
            result.unit,
            _number(result.value),
            "" if result.baseline is None else _number(result.baseline),
            "" if result.ratio is None else f"{result.ratio:.2f}",
            _goal(result),
            {True: "[green]met[/]", False: "[red]missed[/]", None: ""}[result.met],
        )
    return table


def _disturbed(results: Sequence[Result]) -> list[str]:
    """The parts during which other work took more than a fifth of the measured core."""
    shares = (
        (result.part, side.get("others_core", 0.0))
        for result in results
        for side in (
            result.notes,
            *(side for side in result.notes.values() if isinstance(side, dict)),
        )
    )
    return list(dict.fromkeys(part for part, share in shares if share > _DISTURBED))


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:,.1f}"


def _goal(result: Result) -> str:
    if result.goal is None:
        return ""
    if result.at_most:
        return f"< {result.goal:g}"
    if result.ratio_at_most:
        return f"<= {result.goal:g} x"
    if result.at_least:
        return f">= {_number(result.goal)}"
    enough = "" if result.enough is None else f" or {_number(result.enough)}"
    return f">= {result.goal:g} x{enough}"


def _save(results: Sequence[Result]) -> None:
    document = {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "results": [result.document() for result in results],
    }
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
