"""What a benchmark found, as a row of the one table and of the JSON."""

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Result:
    """One measured value, beside its baseline or its limit.

    `goal` is the smallest ratio to the baseline that will do, with `ratio_at_most` the largest; with `at_least` the
    smallest value, with `at_most` the largest. `enough` is a value that will do whatever the ratio is.
    A row without a goal is there to be read.
    """

    part: str
    what: str
    unit: str
    value: float
    baseline: float | None = None
    goal: float | None = None
    at_most: bool = False
    at_least: bool = False
    ratio_at_most: bool = False
    enough: float | None = None
    notes: dict[str, Any] = field(default_factory=dict)

    @property
    def ratio(self) -> float | None:
        return None if not self.baseline else self.value / self.baseline

    @property
    def met(self) -> bool | None:
        """Whether the goal was reached; None where there is none."""
        if self.goal is None:
            return None
        if self.at_most:
            return self.value < self.goal
        if self.at_least:
            return self.value >= self.goal
        if self.ratio_at_most:
            return self.ratio is not None and self.ratio <= self.goal
        if self.enough is not None and self.value >= self.enough:
            return True
        return self.ratio is not None and self.ratio >= self.goal

    def document(self) -> dict[str, Any]:
        """The row as JSON."""
        return asdict(self) | {"ratio": self.ratio, "met": self.met}
