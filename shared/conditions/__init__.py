"""The condition tree of triggers, alert rules and surveys: parse, compile once, evaluate, explain.

A leaf is `{path: data.amount, gt: 0}`: one path, one operator. Nodes are `{all: [...]}`, `{any: [...]}` and
`{not: {...}}`. Three-valued: what is missing (null counts as missing) or of the wrong type is *unknown*, also
under `not`, and only True is a match. `OPERATORS` says what each operator does. Pure: no I/O, no clock.
"""

from shared.conditions.evaluate import Condition, Explanation
from shared.conditions.operators import OPERATORS
from shared.conditions.parse import parse
from shared.conditions.paths import MISSING, ROOTS, Path, parse_path, read
from shared.conditions.problems import ConditionError, Problem

__all__ = [
    "MISSING",
    "OPERATORS",
    "ROOTS",
    "Condition",
    "ConditionError",
    "Explanation",
    "Path",
    "Problem",
    "parse",
    "parse_path",
    "read",
]
