"""The one definition of every score: pure functions of an integer histogram (value -> count).

Point estimates are raw; every interval comes from the same counts. Plain Wald intervals are never
used: they collapse to zero width when all answers agree and cover far too rarely in small samples.
Numbers are exact until `score` rounds them for JSON. Broken counts and values off the scale raise
ValueError naming the value: clipping one would hide a fault upstream.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from math import sqrt
from statistics import NormalDist
from typing import Any, TypeVar

Scale = tuple[int, int]
Value = TypeVar("Value", int, str)

LEVEL = 0.95
SMALL_N = 30
FIXED_SCALES: Mapping[str, Scale] = {"nps": (0, 10), "csat": (1, 5), "ces": (1, 7)}
JSON_DECIMALS = 4


@dataclass(frozen=True, slots=True)
class Interval:
    low: float
    high: float
    level: float


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
    value = 100 * (counts["promoters"] - counts["detractors"]) / n if n else None
    thirds = {100: counts["promoters"], 0: counts["passives"], -100: counts["detractors"]}
    return Score(value, n, _adjusted_wald(thirds, -100, 100, level), "9-10 minus 0-6", counts)


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
    """Mean on the scale low..high, sum(k h_k) / n, with an adjusted Wald interval on the scale.

    The interval is the one of `nps` (itself the mean of -100, 0, 100): 3/4, 3/2 and 3/4
    pseudo-observations at the low end, middle and high end (Rocks 2016 / MeasuringU), extended
    here to longer scales. In simulation (random 5- and 7-point mixes, nominal 95 %) it covered
    95 to 96 % at n = 5 to 100; mean +- z s / sqrt(n) with the n-1 variance 82 to 94 %, and with
    no width at all when every answer agrees.
    """
    _check_scale(histogram, low, high)
    n = sum(histogram.values())
    value = sum(k * count for k, count in histogram.items()) / n if n else None
    return Score(value, n, _adjusted_wald(histogram, low, high, level), "mean")


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


def wilson(successes: int, n: int, *, level: float = LEVEL) -> Interval:
    """Score interval of a proportion in 0..1, centre (k + z^2/2) / (n + z^2) (Wilson 1927)."""
    if not 0 <= successes <= n or n == 0:
        raise ValueError(f"{successes} of {n} is no proportion")
    z, p = _z(level), successes / n
    centre = (successes + z * z / 2) / (n + z * z)
    half = z * sqrt(n * p * (1 - p) + z * z / 4) / (n + z * z)
    # Its ends meet 0 at k = 0 and 1 at k = n exactly; rounding errors must not step across.
    return Interval(max(0.0, min(centre - half, p)), min(1.0, max(centre + half, p)), level)


def score(
    kind: str,
    scale: Scale | None,
    histogram: Mapping[int, int] | Mapping[str, int],
    respondents: int | None = None,
    *,
    level: float = LEVEL,
) -> dict[str, Any]:
    """The score of a question of this kind as its JSON object, numbers rounded to 4 decimals.

    nps, csat and ces bring their scale (None, or the same again); rating needs one; choice has
    none, takes options as values and needs `respondents`, which the other kinds ignore.
    """
    counts: dict[Any, int] = dict(histogram)
    if kind == "choice":
        return _choice(counts, respondents, level)
    low, high = _scale_of(kind, scale)
    average = mean(counts, low, high, level=level)
    if kind == "rating":
        body = _body(kind, average) | {"index": _index(average, low, high)}
    elif kind == "nps":
        body = _body(kind, nps(counts, level=level))
    else:
        body = _body(kind, (csat if kind == "csat" else ces)(counts, level=level))
        body["mean"] = {
            "value": _rounded(average.value),
            "interval": _interval(average.interval),
            "index": _index(average, low, high),
        }
    return body | {"histogram": {str(k): counts.get(k, 0) for k in range(low, high + 1)}}


def _choice(histogram: dict[str, int], respondents: int | None, level: float) -> dict[str, Any]:
    if respondents is None:
        raise ValueError("shares of a choice need the number of respondents")
    options = shares(histogram, respondents, level=level)
    body = _body("choice", Score(None, respondents, None, "shares"))
    body["shares"] = {
        option: {
            "value": _rounded(share.value),
            "count": histogram[option],
            "interval": _interval(share.interval),
        }
        for option, share in options.items()
    }
    return body | {"histogram": histogram}


def _body(kind: str, scored: Score) -> dict[str, Any]:
    body: dict[str, Any] = {
        "kind": kind,
        "value": _rounded(scored.value),
        "n": scored.n,
        "interval": _interval(scored.interval),
        "method": scored.method,
        "small_n": scored.small,
    }
    return body | ({"counts": dict(scored.counts)} if scored.counts else {})


def _interval(interval: Interval | None) -> dict[str, float | None] | None:
    if interval is None:
        return None
    return {
        "low": _rounded(interval.low),
        "high": _rounded(interval.high),
        "level": interval.level,
    }


def _index(average: Score, low: int, high: int) -> float | None:
    return None if average.value is None else _rounded(index(average.value, low, high))


def _rounded(value: float | None) -> float | None:
    # Adding 0.0 turns the -0.0 that rounding can leave into 0.0.
    return None if value is None else round(value, JSON_DECIMALS) + 0.0


def _scale_of(kind: str, scale: Scale | None) -> Scale:
    if kind == "rating":
        if scale is None:
            raise ValueError("a rating needs its scale")
        return scale
    if kind not in FIXED_SCALES:
        raise ValueError(f"questions of kind {kind!r} have no score")
    fixed = FIXED_SCALES[kind]
    if scale is not None and tuple(scale) != fixed:
        raise ValueError(f"{kind} is asked on {fixed[0]}..{fixed[1]}, not {scale[0]}..{scale[1]}")
    return fixed


def _share(count: int, n: int, method: str, counts: Mapping[str, int], level: float) -> Score:
    if n == 0:
        return Score(None, 0, None, method, counts)
    share = wilson(count, n, level=level)
    points = Interval(100 * share.low, 100 * share.high, level)
    return Score(100 * count / n, n, points, method, counts)


def _adjusted_wald(
    histogram: Mapping[int, int], low: int, high: int, level: float
) -> Interval | None:
    """Wald interval of the mean, population variance, after adding the pseudo-observations."""
    z, n = _z(level), sum(histogram.values())
    if n == 0:
        return None
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
    return Interval(max(float(low), centre - half), min(float(high), centre + half), level)


def _between(histogram: Mapping[int, int], low: int, high: int) -> int:
    return sum(count for value, count in histogram.items() if low <= value <= high)


def _check_scale(histogram: Mapping[int, int], low: int, high: int) -> None:
    if low >= high:
        raise ValueError(f"{low}..{high} is no scale")
    for value in histogram:
        # bool and float keys equal to an integer would pass a comparison: they are faults too.
        if type(value) is not int or not low <= value <= high:
            raise ValueError(f"value {value!r} is not a whole number of {low}..{high}")
    _check_counts(histogram)


def _check_counts(histogram: Mapping[Value, int]) -> None:
    for value, count in histogram.items():
        if type(count) is not int or count < 0:
            raise ValueError(f"invariant broken: value {value!r} was counted {count!r} times")


@lru_cache(maxsize=16)
def _z(level: float) -> float:
    if not 0 < level < 1:
        raise ValueError(f"level {level!r} is not between 0 and 1")
    return NormalDist().inv_cdf((1 + level) / 2)
