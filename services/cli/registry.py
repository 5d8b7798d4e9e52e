"""Every instrument that the code declares, and the page that lists them: what dashboards and alerts may ask for."""

from collections.abc import Iterator
from types import ModuleType
from typing import NamedTuple

from prometheus_client import Counter, Gauge

from services.alerting import instruments as alerting
from services.ingest import instruments as ingest
from services.scoring import instruments as scoring
from services.trigger import instruments as trigger
from shared import instruments as shared
from shared.histograms import Histogram

_ROOMS: dict[str, ModuleType] = {
    "every": shared,
    "ingest": ingest,
    "trigger": trigger,
    "scoring": scoring,
    "alerting": alerting,
}
_HEAD = """# Metrics

Each service serves these on `AFTERWORD_METRICS_PORT`, at `/metrics`. `make docs` writes this page from the code, where
each is declared once: in `shared/instruments.py`, or in `instruments.py` of the service that alone has it. Dashboards and
alerts are held against the same declarations by a test.

A histogram `x` has the series `x_bucket`, `x_sum` and `x_count`. No label holds a workspace, an id or what a client
wrote, and every series that is told as things happen stands at 0 from the start, so that a rate sees the first one.
Beside these, the Python client tells of the process itself (`process_*`, `python_*`).

Over replicas, counters and histograms are added up. Gauges of the log and of the database are the same in every
replica: take the largest. Where a gauge is of the replica alone, its text says so.
"""


class Instrument(NamedTuple):
    """A metric as it is asked for, and the service that has it."""

    name: str
    type: str
    labels: tuple[str, ...]
    about: str
    service: str

    def series(self) -> set[str]:
        """What its series are called."""
        if self.type != "histogram":
            return {self.name}
        return {f"{self.name}_{part}" for part in ("bucket", "sum", "count")}


def instruments() -> list[Instrument]:
    """All of them, in the order in which they are declared."""
    return [one for service, room in _ROOMS.items() for one in _declared(service, room)]


def _declared(service: str, room: ModuleType) -> Iterator[Instrument]:
    for value in vars(room).values():
        if room is not shared and value in vars(shared).values():
            continue  # what a service only binds its own labels of
        if isinstance(value, Histogram):
            yield Instrument(value.name, "histogram", value.label_names, value.about, service)
        elif isinstance(value, Counter | Gauge):
            (family,) = value.describe()
            name = family.name + ("_total" if family.type == "counter" else "")
            labels = tuple(value._labelnames)
            yield Instrument(name, family.type, labels, family.documentation, service)


def metrics_page() -> str:
    """The page in Markdown."""
    lines = [_HEAD, "| metric | type | labels | service | what it tells |", "|---|---|---|---|---|"]
    lines += [
        f"| `{one.name}` | {one.type} | {', '.join(one.labels)} | {one.service} | {one.about} |"
        for one in instruments()
    ]
    return "\n".join(lines) + "\n"
