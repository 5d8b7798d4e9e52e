"""The one definition of every score: pure functions of an integer histogram (value -> count)."""

from services.scoring.metrics.intervals import Interval, wilson
from services.scoring.metrics.report import FIXED_SCALES, METHODS, Scale, score
from services.scoring.metrics.scores import (
    LEVEL,
    SMALL_N,
    Score,
    ces,
    csat,
    index,
    mean,
    merge,
    nps,
    rating,
    shares,
)

__all__ = [
    "FIXED_SCALES",
    "LEVEL",
    "METHODS",
    "SMALL_N",
    "Interval",
    "Scale",
    "Score",
    "ces",
    "csat",
    "index",
    "mean",
    "merge",
    "nps",
    "rating",
    "score",
    "shares",
    "wilson",
]
