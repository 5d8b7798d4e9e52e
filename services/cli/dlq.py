"""`dlq`: what could not be handled, why, and another try once the reason is gone."""

from typing import Annotated, Any
from urllib.parse import quote

import httpx
import typer
from rich.console import Console
from rich.table import Table

from services.cli.client import ApiError, open_client, request
from services.cli.context import read_context
from services.cli.paths import SERVICES
from services.cli.plain import plain
from services.cli.serve import ServiceName

MOST = 500

dlq = typer.Typer(
    help="List, show and replay dead letters: records that a service gave up.", no_args_is_help=True
)
_console = Console(highlight=False, markup=False, soft_wrap=True)

Only = Annotated[
    ServiceName | None, typer.Option("--service", help="Only this service's; all without it.")
]
Id = Annotated[str, typer.Argument(help="As `dlq list` shows it.")]


@dlq.command("list")
def list_letters(
    service: Only = None,
    limit: Annotated[int, typer.Option(help="How many of each.", min=1, max=MOST)] = 100,
) -> None:
    """The newest dead letters of this workspace."""
    table = Table("service", "id", "record", "died at", "reason", box=None, pad_edge=False)
    with open_client(read_context()) as client:
        for name in _services(service):
            for letter in dead_letters(client, name, limit=limit):
                record = (
                    f"{letter['topic']}[{letter['partition']}]@{letter['offset']} {letter['key']}"
                )
                fields = (name, letter["id"], record, letter["died_at"][:19], letter["reason"])
                table.add_row(*(plain(field) for field in fields))
    if table.row_count:
        Console(highlight=False, markup=False).print(table)
    else:
        _console.print("no dead letters")


@dlq.command("show")
def show(id: Id) -> None:
    """One dead letter with what the record held."""
    with open_client(read_context()) as client:
        letter = request(client, "GET", _path(_service_of(id), id))
    for name in ("id", "topic", "partition", "offset", "key", "died_at", "reason", "value"):
        _console.print(f"{name}: {plain(letter[name], limit=20_000)}")


@dlq.command("replay")
def replay(
    id: Annotated[str | None, typer.Argument(help="As `dlq list` shows it.")] = None,
    service: Only = None,
    everything: Annotated[
        bool, typer.Option("--all", help="All that `dlq list` shows, oldest first.")
    ] = False,
) -> None:
    """Give dead letters to their service once more; what it handled meanwhile changes nothing."""
    if (id is None) != everything:
        raise typer.BadParameter("name one dead letter, or give --all")
    failed = 0
    with open_client(read_context(), timeout_seconds=120.0) as client:
        ids = [id] if id is not None else _all_ids(client, service)
        for each in ids:
            failed += not _replayed(client, each)
    if everything:
        _console.print(f"{len(ids) - failed} handled, {failed} failed again")
    if failed:
        raise typer.Exit(1)


def dead_letters(client: httpx.Client, service: str, *, limit: int = MOST) -> list[dict[str, Any]]:
    """The newest dead letters of a service in this workspace, newest first. Raises `ApiError`."""
    found = request(
        client, "GET", f"/v1/operations/{service}/dead-letters", params={"limit": limit}
    )
    items: list[dict[str, Any]] = found["items"]
    return items


def _replayed(client: httpx.Client, id: str) -> bool:
    try:
        answer = request(client, "POST", f"{_path(_service_of(id), id)}/replay")
    except ApiError as error:
        if error.status not in (404, 409):
            raise
        _console.print(f"{plain(id)}: {plain(error)}")
        return False
    _console.print(f"{plain(id)}: {answer['outcome']}")
    return True


def _all_ids(client: httpx.Client, service: ServiceName | None) -> list[str]:
    return [
        letter["id"]
        for name in _services(service)
        for letter in reversed(dead_letters(client, name))
    ]


def _services(service: ServiceName | None) -> tuple[str, ...]:
    return (service.value,) if service else SERVICES


def _service_of(id: str) -> str:
    """A dead letter's id is TOPIC.SERVICE.dlq:OFFSET, so it names its service."""
    service = id.rpartition(":")[0].removesuffix(".dlq").rpartition(".")[2]
    if service not in SERVICES:
        raise typer.BadParameter(
            f"{plain(id)} is not the id of a dead letter, like responses.scoring.dlq:12"
        )
    return service


def _path(service: str, id: str) -> str:
    return f"/v1/operations/{service}/dead-letters/{quote(id, safe='')}"
