"""`retention`: how long services keep what, and what it would let go of now. It only looks."""

from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.table import Table

from services.cli.client import open_client, request
from services.cli.context import read_context
from services.cli.plain import plain
from shared.retention import MOST_COUNTED

_COLUMNS = ("service", "data", "kept", "oldest", "would go now", "rows", "bytes", "waits")

_LETTING_GO = ("trigger", "alerting")
"""What the others hold is kept for ever."""


def retention() -> None:
    """Show what is kept for how long and what would be let go of now; services do it by themselves, every hour."""
    table = Table(*_COLUMNS, box=None, pad_edge=False)
    with open_client(read_context()) as client:
        for name in _LETTING_GO:
            found = request(client, "GET", f"/v1/operations/{name}/retention")
            for line in lines(found):
                table.add_row(*(plain(field) for field in line))
    Console(highlight=False, markup=False).print(table)


def lines(found: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    """One line for each class of data, one for each partition that is old."""
    for each in found["classes"]:
        days = each["kept_days"]
        kept = "for ever" if days is None else f"{days} days"
        most = f"{MOST_COUNTED} or more" if each["rows"] == MOST_COUNTED else str(each["rows"])
        what = f"before {each['before']}" if each["before"] else "nothing"
        yield found["service"], each["name"], kept, each["oldest_day"] or "-", what, most, "", ""
        for one in each["partitions"]:
            waits = "for what is pending" if one["waits"] else ""
            rows, size = f"about {one['rows']}", str(one["bytes"])
            yield "", "", "", one["first_day"] or "-", one["name"], rows, size, waits
