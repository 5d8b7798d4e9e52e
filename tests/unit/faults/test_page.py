"""The page says what was done, what was not, and what did not hold."""

from bench.measuring import machine
from tests.faults.__main__ import _plan
from tests.faults.page import page
from tests.faults.report import Outcome
from tests.faults.rows import QUICK, ROWS

FIRST, SECOND, *_ = ROWS


def outcome(trials: int, *violations: str, seed: int = 7) -> Outcome:
    return Outcome(
        *(FIRST.id, FIRST.title, seed, trials, list(violations), [1.0, 3.0], 5.0, {"ok": 9}, "abc")
    )


def test_the_outcomes_of_a_row_become_one_line_and_the_others_are_said_not_to_have_run() -> None:
    written = page([outcome(3), outcome(2, seed=8)], machine())
    assert f"| {FIRST.id} | {FIRST.title} | 5 | 0 | 2.0 / 3.0 | 7 and 1 more |" in written
    assert f"| {SECOND.id} | {SECOND.title} | 0 | not run yet | | |" in written
    assert "**Commits:** abc" in written


def test_what_did_not_hold_stands_on_the_page_with_its_seed() -> None:
    written = page([outcome(1, "law 3: twice")], machine())
    assert f"- **{FIRST.id}**, seed 7: law 3: twice" in written


def test_a_long_run_goes_on_where_it_was() -> None:
    row = next(row for row in ROWS if row.together == 10)
    before = [Outcome(row.id, row.title, 1, 15, [], [], 1.0)]
    assert [trials for _, trials, _ in _plan({row: 40}, before, None)] == [10, 10, 5]
    assert _plan({row: 15}, before, None) == []


def test_no_two_rows_have_the_same_name_and_ci_does_rows_that_exist() -> None:
    names = {row.id for row in ROWS}
    assert len(names) == len(ROWS)
    assert names >= QUICK
