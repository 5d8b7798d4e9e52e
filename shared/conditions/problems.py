"""What is wrong with a condition as written: where, what, and what would be right."""

from collections.abc import Iterable
from dataclasses import dataclass

from shared.errors import AfterwordError

_NAMED_IN_MESSAGE = 5
_SHOWN_CHARS = 60


@dataclass(frozen=True, slots=True)
class Problem:
    """`at` is a position such as `when.all[1].gt`."""

    at: str
    message: str
    expected: str

    def __str__(self) -> str:
        return f"{self.at}: {self.message}; expected {self.expected}"


class ConditionError(AfterwordError, ValueError):
    """Every problem of one document; also a ValueError, so that a pydantic validator may let it pass."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        named = [str(problem) for problem in self.problems[:_NAMED_IN_MESSAGE]]
        if len(self.problems) > _NAMED_IN_MESSAGE:
            named.append(f"and {len(self.problems) - _NAMED_IN_MESSAGE} more")
        super().__init__("; ".join(named))


def kind_of(value: object) -> str:
    """Name a value's type as JSON does; for what JSON does not have, Python's name."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case str():
            return "string"
        case list():
            return "list"
        case dict():
            return "object"
    return type(value).__name__


def cut(text: str, limit: int = _SHOWN_CHARS) -> str:
    """Keep at most `limit` characters, the last an ellipsis when some were left out."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def quoted(value: object) -> str:
    """Show what was written, short enough for a message."""
    return f"'{cut(value)}'" if isinstance(value, str) else f"a value of type {kind_of(value)}"
