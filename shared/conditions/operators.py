"""What each operator means: which literals it takes, which values it can judge, and how.

Comparisons are type-strict: numbers with numbers (a boolean is not a number), strings with strings, by code
point. A test answers None, unknown, for every other value; facts hold plain JSON types.
"""

import math
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final

from shared.conditions.paths import MISSING
from shared.conditions.pattern import MAX_TEXT_CHARS, Pattern
from shared.conditions.pattern_syntax import PatternError
from shared.conditions.problems import ConditionError, Problem, kind_of, quoted

MAX_LIST_ITEMS: Final = 1_000
MAX_STRING_CHARS: Final = 1_000

Test = Callable[[object], bool | None]

_PLAIN: Final[Mapping[str, frozenset[type]]] = {
    "number": frozenset({int, float}),
    "string": frozenset({str}),
    "boolean": frozenset({bool}),
}
_ORDERED = ("number", "string")
_SCALAR = ("number", "string", "boolean")
_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)
_TIME_WANTED = "an RFC 3339 time in quotes, such as '2026-01-31T09:00:00+08:00'"


@dataclass(frozen=True, slots=True)
class Check:
    """One operator with its literal: the test, which values it can judge, and its share of pattern cost."""

    test: Test
    judges: str
    cost: int = 0


@dataclass(frozen=True, slots=True)
class Operator:
    """`build` raises `ConditionError` with positions relative to the operator."""

    meaning: str
    build: Callable[[object], Check]


def _wrong(message: str, expected: str, at: str = "") -> ConditionError:
    return ConditionError([Problem(at, message, expected)])


def _kind(literal: object, kinds: tuple[str, ...], at: str = "") -> str:
    """Check one scalar literal and its bounds, and name its kind."""
    kind = kind_of(literal)
    wanted = " or ".join(f"a {each}" for each in kinds)
    if kind not in kinds:
        if kind == "null":
            wanted += "; exists: false asks for what is not there"
        elif kind in ("date", "datetime"):
            wanted += "; a time is written in quotes"
        raise _wrong(f"the literal is {quoted(literal)}", wanted, at)
    if isinstance(literal, str) and len(literal) > MAX_STRING_CHARS:
        raise _wrong(f"a string of {len(literal)} characters", f"at most {MAX_STRING_CHARS}", at)
    if isinstance(literal, float) and not math.isfinite(literal):
        raise _wrong("a number that is not finite", "a finite number", at)
    if isinstance(literal, int) and literal.bit_length() > 1_024:
        raise _wrong("a number that is too large", "a number below 2**1024", at)
    return kind


def _typed(kind: str, compare: Callable[[Any, Any], bool], literal: object) -> Check:
    types = _PLAIN[kind]

    def test(value: object) -> bool | None:
        return compare(value, literal) if type(value) in types else None

    return Check(test, kind)


def _compares(
    kinds: tuple[str, ...], compare: Callable[[Any, Any], bool]
) -> Callable[[object], Check]:
    def build(literal: object) -> Check:
        return _typed(_kind(literal, kinds), compare, literal)

    return build


def _affix(compare: Callable[[str, str], bool]) -> Callable[[object], Check]:
    def build(literal: object) -> Check:
        _kind(literal, ("string",))
        if not literal:
            raise _wrong("an empty string matches every string", "at least one character")
        return _typed("string", compare, literal)

    return build


def _items(literal: object, kinds: tuple[str, ...]) -> tuple[str, list[Any]]:
    """Check a list of scalars of one kind, and return that kind and the list; reports every bad item."""
    if not isinstance(literal, list) or not literal:
        found = "an empty list" if literal == [] else quoted(literal)
        raise _wrong(f"the literal is {found}", "a list of one or more strings or of numbers")
    if len(literal) > MAX_LIST_ITEMS:
        raise _wrong(f"a list of {len(literal)} items", f"at most {MAX_LIST_ITEMS}")
    problems: list[Problem] = []
    first = kind_of(literal[0])
    allowed = (first,) if first in kinds else kinds
    for index, item in enumerate(literal):
        try:
            _kind(item, allowed, f"[{index}]")
        except ConditionError as error:
            problems += error.problems
    if problems:
        raise ConditionError(problems)
    return first, literal


def _member(compare: Callable[[Any, Any], bool]) -> Callable[[object], Check]:
    def build(literal: object) -> Check:
        kind, items = _items(literal, _SCALAR)
        return _typed(kind, compare, frozenset(items))

    return build


def _between(literal: object) -> Check:
    kind, items = _items(literal, _ORDERED)
    if len(items) != 2:
        raise _wrong(f"a list of {len(items)} items", "[low, high], both included")
    if items[0] > items[1]:
        raise _wrong(
            "low is above high, so nothing lies between", "[low, high], the lower one first"
        )
    return _typed(kind, lambda value, ends: bool(ends[0] <= value <= ends[1]), tuple(items))


def _contains(literal: object) -> Check:
    kind = _kind(literal, _SCALAR)
    types = _PLAIN[kind]
    if literal == "":
        raise _wrong("an empty string is in every string", "at least one character")

    def test(value: object) -> bool | None:
        if type(value) is list:
            return any(item == literal and type(item) in types for item in value)
        return literal in value if type(value) is str and type(literal) is str else None

    return Check(test, "string or list" if kind == "string" else "list")


def _matches(literal: object) -> Check:
    _kind(literal, ("string",))
    if not literal:
        raise _wrong("an empty pattern matches every string", "a pattern such as ^SH-[0-9]+$")
    try:
        pattern = Pattern(str(literal))
    except PatternError as error:
        raise _wrong(error.message, error.expected) from error

    def test(value: object) -> bool | None:
        if type(value) is not str or len(value) > MAX_TEXT_CHARS:
            return None
        return pattern.search(value)

    return Check(test, f"string of at most {MAX_TEXT_CHARS} characters", pattern.size)


def _time(text: str) -> datetime | None:
    if not _TIME.fullmatch(text):
        return None
    try:
        return datetime.fromisoformat(text.upper())
    except ValueError:
        return None


def _when(compare: Callable[[datetime, datetime], bool]) -> Callable[[object], Check]:
    def build(literal: object) -> Check:
        moment = _time(literal) if isinstance(literal, str) else None
        if moment is None:
            raise _wrong(f"the literal is {quoted(literal)}", _TIME_WANTED)

        def test(value: object) -> bool | None:
            seen = _time(value) if type(value) is str else None
            return None if seen is None else compare(seen, moment)

        return Check(test, "RFC 3339 time")

    return build


def _exists(literal: object) -> Check:
    if not isinstance(literal, bool):
        raise _wrong(f"the literal is {quoted(literal)}", "true or false")
    return Check(lambda value: (value is not MISSING and value is not None) is literal, "anything")


OPERATORS: Final[Mapping[str, Operator]] = MappingProxyType(
    {
        "eq": Operator("equals a string, number or boolean", _compares(_SCALAR, operator.eq)),
        "ne": Operator("is of the literal's type and differs", _compares(_SCALAR, operator.ne)),
        "lt": Operator("is below a number or string", _compares(_ORDERED, operator.lt)),
        "lte": Operator("is at most a number or string", _compares(_ORDERED, operator.le)),
        "gt": Operator("is above a number or string", _compares(_ORDERED, operator.gt)),
        "gte": Operator("is at least a number or string", _compares(_ORDERED, operator.ge)),
        "between": Operator("lies in [low, high], both included", _between),
        "in": Operator("is one of a list", _member(lambda value, items: value in items)),
        "not_in": Operator("is none of a list", _member(lambda value, items: value not in items)),
        "contains": Operator("is a text with this part, or a list with this item", _contains),
        "starts_with": Operator("is a text that starts so", _affix(str.startswith)),
        "ends_with": Operator("is a text that ends so", _affix(str.endswith)),
        "matches": Operator("is a text in which the pattern occurs", _matches),
        "before": Operator("is an RFC 3339 time before this one", _when(operator.lt)),
        "after": Operator("is an RFC 3339 time after this one", _when(operator.gt)),
        "exists": Operator("true: has a value that is not null; false: has none", _exists),
    }
)
