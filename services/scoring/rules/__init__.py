"""What scoring decides: pure functions of messages, facts and cells."""

from services.scoring.rules.cells import (
    Cell,
    CountBroken,
    Drift,
    carried_over,
    cells_of,
    changes,
    delta,
    drifts,
)
from services.scoring.rules.facts import (
    RESPONDENT,
    Counted,
    Fact,
    NotCountable,
    Rollup,
    counted,
    derive,
    fact_of,
    newest,
    parse_scale,
)

__all__ = [
    "RESPONDENT",
    "Cell",
    "CountBroken",
    "Counted",
    "Drift",
    "Fact",
    "NotCountable",
    "Rollup",
    "carried_over",
    "cells_of",
    "changes",
    "counted",
    "delta",
    "derive",
    "drifts",
    "fact_of",
    "newest",
    "parse_scale",
]
