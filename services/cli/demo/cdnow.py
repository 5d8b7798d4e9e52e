"""The purchases that the demo replays: CDNOW's log, where a Python package ships it, and a sample of its customers."""

import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

from shared.errors import StartupError

_PACKAGE = "lifetimes"
_FILE = "CDNOW_master.txt"


@dataclass(frozen=True, slots=True)
class Purchase:
    """One line of the log; `line` is its number in the file, the heading being line 1."""

    line: int
    customer: str
    day: datetime
    cds: int
    dollars: float


def find_file(package: str = _PACKAGE) -> Path:
    """Where the package keeps the log; the package is never imported. Raises `StartupError` saying what to run."""
    try:
        listed = files(package) or []
    except PackageNotFoundError:
        listed = []
    for file in listed:
        if file.name == _FILE and (path := Path(str(file.locate()))).is_file():
            return path
    raise StartupError(
        f"the demo's purchases ({_FILE}) are not installed: `make demo-data` installs them"
    )


def read_purchases(path: Path) -> list[Purchase]:
    """All purchases, in the file's order. Raises `StartupError` naming the line that is not one."""
    purchases = []
    with path.open(encoding="ascii") as file:
        for number, text in enumerate(file, start=1):
            if number == 1 or not text.strip():
                continue
            try:
                customer, day, cds, dollars = text.split()
                at = datetime(int(day[:4]), int(day[4:6]), int(day[6:]), tzinfo=UTC)
                purchases.append(Purchase(number, customer, at, int(cds), float(dollars)))
            except ValueError as error:
                raise StartupError(
                    f"{path}, line {number}, is not a purchase: {text.strip()[:80]!r}"
                ) from error
    return purchases


def sample(purchases: Iterable[Purchase], about: int, seed: int) -> list[Purchase]:
    """Customers drawn by the seed, each with all their purchases, until there are `about` purchases or a few more."""
    by_customer: dict[str, list[Purchase]] = defaultdict(list)
    for purchase in purchases:
        by_customer[purchase.customer].append(purchase)
    customers = sorted(by_customer)
    random.Random(f"{seed}/customers").shuffle(customers)
    chosen: list[Purchase] = []
    for customer in customers:
        if len(chosen) >= about:
            break
        chosen += by_customer[customer]
    return chosen


def customers_of(purchases: Sequence[Purchase]) -> int:
    """How many customers made them."""
    return len({purchase.customer for purchase in purchases})
