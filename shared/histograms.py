"""Histograms for Prometheus that are cheap to tell: one thread tells them, and a scrape in another reads what is there.

Those of the client library take a lock for each of the two numbers that a value changes, which matters to a request.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import accumulate

from prometheus_client import REGISTRY
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector


class Observed:
    """The values that were seen with the same labels. For one thread only."""

    __slots__ = ("_bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self._bounds, value)] += 1
        self.total += value

    def observe_all(self, values: Iterable[float]) -> None:
        """The same for all records of a batch, at a fraction of the cost for each."""
        ordered = sorted(values)
        below = 0
        for place, bound in enumerate(self._bounds):
            up_to = bisect_right(ordered, bound, below)
            self.counts[place] += up_to - below
            below = up_to
        self.counts[-1] += len(ordered) - below
        self.total += sum(ordered)

    def observe_since(self, moments: Iterable[datetime]) -> None:
        """For how long these have been past, by this process's clock; what is in its future was just now."""
        at = datetime.now(UTC)
        ages = [(at - moment).total_seconds() for moment in moments]
        self.observe_all(ages if min(ages, default=0.0) >= 0 else [max(0.0, age) for age in ages])


class Histogram(Collector):
    """A registered histogram; `buckets` are the largest values of each, in order."""

    def __init__(
        self, name: str, about: str, labels: Sequence[str] = (), *, buckets: Sequence[float]
    ) -> None:
        self.name = name
        self.about = about
        self.label_names = tuple(labels)
        self._bounds = tuple(buckets)
        self._observed: dict[tuple[str, ...], Observed] = {}
        REGISTRY.register(self)

    def labels(self, *values: object) -> Observed:
        key = tuple(map(str, values))
        observed = self._observed.get(key)
        if observed is None:
            observed = self._observed[key] = Observed(self._bounds)
        return observed

    def describe(self) -> Iterable[HistogramMetricFamily]:
        """What it is called, without a value; asked for when it is registered."""
        return [HistogramMetricFamily(self.name, self.about, labels=self.label_names)]

    def collect(self) -> Iterable[HistogramMetricFamily]:
        (family,) = self.describe()
        names = [*(str(float(bound)) for bound in self._bounds), "+Inf"]
        for values, observed in list(self._observed.items()):
            buckets = list(zip(names, accumulate(observed.counts), strict=True))
            family.add_metric(values, buckets, observed.total)
        return [family]
