"""`scoring rebuild`: the histograms computed anew from the facts, and how far they had drifted."""

from typing import Annotated, Any

import typer
from rich.console import Console

from services.cli.client import open_client, request
from services.cli.context import read_context
from services.cli.plain import plain

_LONG_SECONDS = 3_600.0

scoring = typer.Typer(help="Work on the scores.", no_args_is_help=True)


@scoring.callback()
def _scoring() -> None:
    """Work on the scores."""


@scoring.command("rebuild")
def rebuild(
    dimension: Annotated[
        list[str] | None,
        typer.Option(
            help="Also keep this dimension apart: NAME=PATH, or NAME alone for one that responses bring."
        ),
    ] = None,
    remove: Annotated[
        list[str] | None, typer.Option(help="No longer keep this dimension apart.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only report the drift.")] = False,
) -> None:
    """Compute this workspace's histograms from its facts, report what differed, and put it right."""
    body = {
        "dimensions": dimensions_of(dimension or []),
        "remove": remove or [],
        "dry_run": dry_run,
    }
    with open_client(read_context(), timeout_seconds=_LONG_SECONDS) as client:
        report = request(client, "POST", "/v1/operations/scoring/rebuild", json=body)
    console = Console(highlight=False, markup=False, soft_wrap=True)
    for line in lines(report):
        console.print(line)


def dimensions_of(said: list[str]) -> dict[str, str | None]:
    """NAME=PATH as the API takes it."""
    found: dict[str, str | None] = {}
    for text in said:
        name, _, path = text.partition("=")
        if not name or name in found:
            raise typer.BadParameter(f"--dimension {plain(text)}: give NAME=PATH, each name once")
        found[name] = path or None
    return found


def lines(report: dict[str, Any]) -> list[str]:
    """The report as it is printed."""
    done = "would be put right" if report["dry_run"] else "put right"
    drifted = (
        f"{report['drifted']} had drifted ({done})" if report["drifted"] else "none had drifted"
    )
    said = [f"{report['facts']} facts, {report['cells']} cells, {drifted}"]
    said += [
        f"  cell {plain(d['id'])}: {d['stored']}, right is {d['right']}" for d in report["drift"]
    ]
    if (hidden := report["drifted"] - len(report["drift"])) > 0:
        said.append(f"  and {hidden} more")
    if report["forgotten"]:
        said.append(
            f"{report['forgotten']} counts are of answers that are not kept any longer: taken over as they stand"
        )
    kept = ", ".join(
        f"{plain(name)}" + (f"={plain(path)}" if path else "")
        for name, path in report["dimensions"].items()
    )
    return [*said, f"dimensions kept apart: {kept or 'none'}"]
