"""The JSON object of a score: what the API answers for one question, numbers rounded here only."""

from collections.abc import Mapping
from typing import Any

from services.scoring.metrics.intervals import Interval
from services.scoring.metrics.scores import LEVEL, Score, ces, csat, index, mean, nps, shares

Scale = tuple[int, int]

FIXED_SCALES: Mapping[str, Scale] = {"nps": (0, 10), "csat": (1, 5), "ces": (1, 7)}
JSON_DECIMALS = 4

METHODS: Mapping[str, str] = {
    "nps": "promoters (9-10) minus detractors (0-6) in points; adjusted Wald interval",
    "csat": "share of 4-5 in percent, Wilson interval; beside it the mean, adjusted Wald interval",
    "ces": "share of 5-7 in percent, Wilson interval; beside it the mean, adjusted Wald interval",
    "rating": "mean on the question's own scale; adjusted Wald interval",
    "choice": "each option's share of those who answered in percent; Wilson interval",
}
"""How each kind is scored, in a sentence for readers of scores."""


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
