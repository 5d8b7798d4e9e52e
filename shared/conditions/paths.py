"""Dotted paths into facts: `data.order_no`, `answers.reasons.0`, and reading them.

A segment is a key of an object or, in decimal digits, an index of a list. Keys that hold a dot, a space or
another character outside `[A-Za-z0-9_-]` cannot be addressed.
"""

import re
from collections.abc import Mapping, Set
from enum import Enum
from typing import Final

from shared.conditions.problems import ConditionError, Problem, cut, kind_of, quoted

ROOTS: Final = frozenset({"event", "data", "customer", "dimensions", "answers", "metrics"})
EVENT_FIELDS: Final = frozenset({"type", "source", "time"})
MAX_PATH_CHARS: Final = 200

Path = tuple[str, ...]

_SEGMENT = re.compile(r"[A-Za-z0-9_-]+")
_INDEX = re.compile(r"[0-9]{1,9}")


class Missing(Enum):
    """The type of `MISSING`, so that a checker can tell it from every value."""

    MISSING = "missing"

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = Missing.MISSING


def parse_path(text: object, roots: Set[str], *, at: str = "path") -> Path:
    """Split a dotted path whose first segment is one of `roots`; raises `ConditionError`."""
    names = ", ".join(sorted(roots))
    example = f"{min(roots, default='data')}.field"
    if not isinstance(text, str):
        problem = f"a path is a string, not {kind_of(text)}", f"a dotted path such as {example}"
    elif len(text) > MAX_PATH_CHARS:
        problem = f"path of {len(text)} characters", f"at most {MAX_PATH_CHARS} characters"
    else:
        path = tuple(text.split("."))
        found = _problem(path, roots, names, example)
        if found is None:
            return path
        problem = found
    raise ConditionError([Problem(at, *problem)])


def _problem(path: Path, roots: Set[str], names: str, example: str) -> tuple[str, str] | None:
    for segment in path:
        if not _SEGMENT.fullmatch(segment):
            return (
                f"{quoted('.'.join(path))} has the segment {quoted(segment)}",
                "segments of letters, digits, _ and -, joined by dots",
            )
    if path[0] not in roots:
        return f"{quoted(path[0])} cannot be read here", f"a path that starts with one of: {names}"
    if len(path) == 1:
        return f"{cut(path[0])} alone is not a path", f"a field below it, such as {path[0]}.field"
    if path[0] == "event" and (len(path) > 2 or path[1] not in EVENT_FIELDS):
        return f"there is no {quoted('.'.join(path))}", "event.type, event.source or event.time"
    return None


def read(facts: Mapping[str, object], path: str | Path) -> object:
    """Return the value at `path`, or `MISSING`; a null is returned as None. Never raises."""
    value: object = facts
    for segment in path.split(".") if isinstance(path, str) else path:
        if type(value) is dict or isinstance(value, Mapping):  # asking an ABC is slow
            value = value.get(segment, MISSING)
        elif isinstance(value, list) and _INDEX.fullmatch(segment) and int(segment) < len(value):
            value = value[int(segment)]
        else:
            return MISSING
    return value
