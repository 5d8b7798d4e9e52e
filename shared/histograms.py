"""Histograms for Prometheus that are cheap to tell: one thread tells them, and a scrape in another reads what is there.

Those of the client library take a lock for each of the two numbers that a value changes, which matters to a request.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
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


class Histogram(Collector):
    """A registered histogram; `buckets` are the largest values of each, in order."""

    def __init__(
        self, name: str, about: str, labels: Sequence[str], *, buckets: Sequence[float]
    ) -> None:
        self._name = name
        self._about = about
        self._labels = labels
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
        return [HistogramMetricFamily(self._name, self._about, labels=self._labels)]

    def collect(self) -> Iterable[HistogramMetricFamily]:
        (family,) = self.describe()
        names = [*(str(float(bound)) for bound in self._bounds), "+Inf"]
        for values, observed in list(self._observed.items()):
            buckets = list(zip(names, accumulate(observed.counts), strict=True))
            family.add_metric(values, buckets, observed.total)
        return [family]
