"""NPS, CSAT, CES, means and shares: raw point estimates from a histogram, each with its interval.

A broken count or a value off the scale raises ValueError naming the value: clipping one would hide
a fault upstream.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from services.scoring.metrics.intervals import Interval, adjusted_wald, wilson

Value = TypeVar("Value", int, str)

LEVEL = 0.95
SMALL_N = 30


@dataclass(frozen=True, slots=True)
class Score:
    """A value with its n and uncertainty; without answers both value and interval are None.

    `method` says which of a metric's competing definitions was used; `counts` what it counted.
    """

    value: float | None
    n: int
    interval: Interval | None
    method: str
    counts: Mapping[str, int] = field(default_factory=dict)

    @property
    def small(self) -> bool:
        """Fewer than 30 answers: shown greyed as insufficient, never ranked or coloured."""
        return self.n < SMALL_N


def merge(histograms: Iterable[Mapping[Value, int]]) -> dict[Value, int]:
    """Add histograms value by value: any order and any grouping give the same sum.

    A negative count raises even where another cell would make up for it.
    """
    total: dict[Value, int] = {}
    for histogram in histograms:
        _check_counts(histogram)
        for value, count in histogram.items():
            total[value] = total.get(value, 0) + count
    return total


def nps(histogram: Mapping[int, int], *, level: float = LEVEL) -> Score:
    """Net promoter score in points, 100 (P - D) / n, with P = 9..10 and D = 0..6 of 0..10.

    Source: Reichheld's score as coded in brendan-r/NPS. Interval: adjusted Wald, Agresti-Coull
    style pseudo-observations (3/4, 3/2, 3/4), Rocks 2016 / MeasuringU, clipped to [-100, 100].
    """
    _check_scale(histogram, 0, 10)
    counts = {
        "promoters": _between(histogram, 9, 10),
        "passives": _between(histogram, 7, 8),
        "detractors": _between(histogram, 0, 6),
    }
    n = sum(counts.values())
    method = "9-10 minus 0-6"
    if n == 0:
        return Score(None, 0, None, method, counts)
    value = 100 * (counts["promoters"] - counts["detractors"]) / n
    points = {100: counts["promoters"], 0: counts["passives"], -100: counts["detractors"]}
    return Score(value, n, adjusted_wald(points, -100, 100, level), method, counts)


def csat(histogram: Mapping[int, int], *, level: float = LEVEL) -> Score:
    """Satisfied customers in percent: the top-2 share of 1..5 (Delighted), Wilson interval.

    Other vendors call the mean CSAT: see `mean`, which is reported beside it.
    """
    _check_scale(histogram, 1, 5)
    counts = {
        "satisfied": _between(histogram, 4, 5),
        "neutral": _between(histogram, 3, 3),
        "dissatisfied": _between(histogram, 1, 2),
    }
    return _share(counts["satisfied"], sum(counts.values()), "top2", counts, level)


def ces(histogram: Mapping[int, int], *, level: float = LEVEL) -> Score:
    """CES 2.0 in percent: who at least somewhat agrees (5..7 of 1..7; Gartner), Wilson interval."""
    _check_scale(histogram, 1, 7)
    counts = {
        "agree": _between(histogram, 5, 7),
        "neutral": _between(histogram, 4, 4),
        "disagree": _between(histogram, 1, 3),
    }
    return _share(counts["agree"], sum(counts.values()), "agree 5-7", counts, level)


def mean(histogram: Mapping[int, int], low: int, high: int, *, level: float = LEVEL) -> Score:
    """Mean on the scale low..high, sum(k h_k) / n; interval: see `adjusted_wald`."""
    _check_scale(histogram, low, high)
    n = sum(histogram.values())
    if n == 0:
        return Score(None, 0, None, "mean")
    value = sum(k * count for k, count in histogram.items()) / n
    return Score(value, n, adjusted_wald(histogram, low, high, level), "mean")


def rating(histogram: Mapping[int, int], low: int, high: int, *, level: float = LEVEL) -> Score:
    """A rating's score is its mean on its own scale (formula and interval: see `mean`)."""
    return mean(histogram, low, high, level=level)


def index(value: float, low: int, high: int) -> float:
    """A mean in its 0-100 form, 100 (mean - low) / (high - low), as SmartSurvey reports CSAT."""
    return 100 * (value - low) / (high - low)


def shares(
    histogram: Mapping[str, int], respondents: int, *, level: float = LEVEL
) -> dict[str, Score]:
    """Each option's share of the respondents in percent (Wilson), in the histogram's order.

    n is the number of respondents, not of ticks: where many may be chosen shares exceed 100 in sum.
    """
    _check_counts(histogram)
    if respondents < max(histogram.values(), default=0):
        raise ValueError(f"invariant broken: {respondents} respondents chose one option more often")
    return {
        option: _share(count, respondents, "share", {"chosen": count}, level)
        for option, count in histogram.items()
    }


def _share(count: int, n: int, method: str, counts: Mapping[str, int], level: float) -> Score:
    if n == 0:
        return Score(None, 0, None, method, counts)
    share = wilson(count, n, level=level)
    points = Interval(100 * share.low, 100 * share.high, level)
    return Score(100 * count / n, n, points, method, counts)


def _between(histogram: Mapping[int, int], low: int, high: int) -> int:
    return sum(count for value, count in histogram.items() if low <= value <= high)


def _check_scale(histogram: Mapping[int, int], low: int, high: int) -> None:
    if low >= high:
        raise ValueError(f"{low}..{high} is no scale")
    for value in histogram:
        # bool and float keys equal to an integer would pass a comparison: they are faults too.
        if type(value) is not int or not low <= value <= high:
            raise ValueError(f"value {value!r} is not a whole number from {low} to {high}")
    _check_counts(histogram)


def _check_counts(histogram: Mapping[Value, int]) -> None:
    for value, count in histogram.items():
        if type(count) is not int or count < 0:
            raise ValueError(f"invariant broken: value {value!r} was counted {count!r} times")
