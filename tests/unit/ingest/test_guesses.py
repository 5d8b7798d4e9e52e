"""The budget of wrong links: a guesser is stopped, the budget comes back, and the memory of it is bounded."""

import pytest

from services.ingest.guesses import Guesses, address_of


def test_a_thousand_guesses_in_a_minute_are_stopped() -> None:
    guesses = Guesses(30)
    waits = [guesses.wait_seconds("a", n * 0.06) for n in range(1_000)]
    assert waits[:30] == [0.0] * 30
    assert sum(wait == 0 for wait in waits) <= 60
    assert all(0 <= wait <= 2 for wait in waits)
    assert guesses.wait_seconds("b", 60) == 0


def test_who_waits_as_long_as_told_may_go_on() -> None:
    guesses = Guesses(7)
    for _ in range(7):
        assert guesses.wait_seconds("a", 100.0) == 0
    waits = [guesses.wait_seconds("a", 100.0) for _ in range(3)]
    assert waits == [pytest.approx(60 / 7)] * 3
    assert guesses.wait_seconds("a", 100.0 + waits[0]) == 0
    assert guesses.wait_seconds("a", 100.0 + waits[0]) > 0


def test_after_a_quiet_minute_the_budget_is_whole_and_not_more() -> None:
    guesses = Guesses(3)
    for at in (0.0, 1_000.0):
        assert [guesses.wait_seconds("a", at) > 0 for _ in range(4)] == [False, False, False, True]


def test_the_memory_is_bounded_and_forgets_who_was_quiet_longest() -> None:
    guesses = Guesses(1, addresses=100)
    assert guesses.wait_seconds("guesser", 0.0) == 0
    for n in range(10_000):
        guesses.wait_seconds(str(n), 0.0)
        assert guesses.wait_seconds("guesser", 0.0) > 0
    assert len(guesses._spent_until) == 100


@pytest.mark.parametrize(
    ("host", "counts_as"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("fe80::1%eth0", "fe80::"),
        (None, ""),
        ("x" * 10_000, "x" * 64),
        (":" * 10_000, ":" * 64),
    ],
)
def test_a_line_counts_as_one_address(host: str | None, counts_as: str) -> None:
    assert address_of(host) == counts_as
