"""`retention`: how long services keep what, what they would let go of now, and letting go of it at once."""

from collections.abc import Iterator
from typing import Annotated, Any

import httpx
import typer
from rich.console import Console
from rich.table import Table

from services.cli.client import open_client, request
from services.cli.context import read_context
from services.cli.paths import SERVICES
from services.cli.plain import plain
from shared.outlook import MOST_COUNTED

_COLUMNS = ("service", "data", "tables", "kept", "oldest", "would go now", "rows", "bytes", "waits")
_WIDTH = 200
"""No column is cut in a narrow terminal or a pipe: its dates and numbers are what is looked for."""
_PIECE_SECONDS = 120.0


def retention(
    run: Annotated[
        bool, typer.Option("--run", help="Let go of it now, in small pieces; may be broken off.")
    ] = False,
) -> None:
    """Show what is kept for how long and what would be let go of now; services do it by themselves, every hour."""
    console = Console(highlight=False, markup=False, width=_WIDTH)
    with open_client(read_context(), timeout_seconds=_PIECE_SECONDS) as client:
        if run:
            for service in SERVICES:
                console.print(_let_go(client, service))
        else:
            console.print(_outlook(client))


def _let_go(client: httpx.Client, service: str) -> str:
    rows = 0
    while (piece := request(client, "POST", f"/v1/operations/{service}/retention"))["rows"]:
        rows += piece["rows"]
    busy = ", and another replica is at it" if piece["busy"] else ""
    return f"{service}: {rows} rows let go of one by one{busy}"


def _outlook(client: httpx.Client) -> Table:
    table = Table(*_COLUMNS, box=None, pad_edge=False)
    for service in SERVICES:
        found = request(client, "GET", f"/v1/operations/{service}/retention")
        for line in lines(found):
            table.add_row(*(plain(field) for field in line))
    return table


def lines(found: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    """One line for each class of data, one for each partition that is old."""
    for each in found["classes"]:
        tables, days = ", ".join(each["tables"]), each["kept_days"]
        kept = "for ever" if days is None else f"{days} days"
        most = f"{MOST_COUNTED} or more" if each["rows"] == MOST_COUNTED else str(each["rows"])
        what = f"before {each['before']}" if each["before"] else "nothing"
        said = (found["service"], each["name"], tables, kept, each["oldest_day"] or "-", what, most)
        yield (*said, "", "")
        for one in each["partitions"]:
            waits = "for what is pending" if one["waits"] else ""
            rows, size = f"about {one['rows']}", str(one["bytes"])
            yield "", "", "", "", one["first_day"] or "-", one["name"], rows, size, waits
