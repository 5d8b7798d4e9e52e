"""Whether a goal is met: of a ratio, a smallest value, a largest value."""

import pytest

from bench.results import Result


@pytest.mark.parametrize(
    ("result", "met"),
    [
        (Result("p", "w", "u", 50.0, 10.0), None),
        (Result("p", "w", "u", 50.0, 10.0, 5.0), True),
        (Result("p", "w", "u", 49.0, 10.0, 5.0), False),
        (Result("p", "w", "u", 50.0, None, 5.0), False),
        (Result("p", "w", "u", 85.0, 100.0, 0.85, enough=90.0), True),
        (Result("p", "w", "u", 90.0, 900.0, 0.85, enough=90.0), True),
        (Result("p", "w", "u", 84.0, 100.0, 0.85, enough=90.0), False),
        (Result("p", "w", "u", 1_000.0, 900.0, 1_000.0, at_least=True), True),
        (Result("p", "w", "u", 999.0, 10.0, 1_000.0, at_least=True), False),
        (Result("p", "w", "u", 249.0, None, 250.0, at_most=True), True),
        (Result("p", "w", "u", 250.0, None, 250.0, at_most=True), False),
    ],
)
def test_a_goal_is_met_or_not(result: Result, met: bool | None) -> None:
    assert result.met is met
