"""What a reply means and when the next attempt is due."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

from shared.webhook import RETRY_SCHEDULE, Reply, next_attempt, outcome, retry_after

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
MIDDLE = 0.5  # the jitter that changes nothing


def reply(
    status: int | None = 500,
    error: str | None = None,
    wait: float | None = None,
    *,
    timed_out: bool = False,
) -> Reply:
    return Reply(status, error, "", wait, 0.1, timed_out)


def seconds(attempts_made: int, last: Reply | None, jitter: float = MIDDLE) -> float | None:
    due = next_attempt(attempts_made, last, NOW, jitter)
    return None if due is None else (due - NOW).total_seconds()


def test_ten_attempts_over_75_hours() -> None:
    assert len(RETRY_SCHEDULE) == 10
    assert sum(RETRY_SCHEDULE, timedelta()) == timedelta(hours=75, minutes=35, seconds=5)
    waits = [seconds(made, reply() if made else None) for made in range(10)]
    assert waits == [0, 5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400]
    assert [seconds(made, reply()) for made in (10, 11)] == [None, None]


def test_jitter_spreads_by_a_fifth_either_way() -> None:
    assert seconds(2, reply(), 0.0) == pytest.approx(240)
    assert seconds(2, reply(), 0.999_999) == pytest.approx(360, abs=0.001)


@pytest.mark.parametrize("last", [reply(429), reply(None, "late", timed_out=True)])
def test_a_throttled_receiver_gets_a_minute(last: Reply) -> None:
    assert seconds(1, last, 0.0) == 60
    assert 60 < (seconds(1, last, 0.9) or 0) <= 72
    assert seconds(2, last) == 300


def test_retry_after_lengthens_and_never_shortens() -> None:
    assert seconds(1, reply(503, wait=900), 0.0) == 900
    assert 900 < (seconds(1, reply(503, wait=900), 0.9) or 0) <= 900 * 1.2
    assert seconds(2, reply(503, wait=1)) == 300
    assert seconds(1, reply(503, wait=10**9), 0.0) == 86_400
    assert seconds(10, reply(503, wait=1)) is None


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        (reply(200), "delivered"),
        (reply(204), "delivered"),
        (reply(299), "delivered"),
        (reply(200, "the answer broke off"), "retry"),
        (reply(300), "retry"),
        (reply(302, "redirects are not followed"), "retry"),
        (reply(404), "retry"),
        (reply(410), "gone"),
        (reply(410, "the answer broke off"), "retry"),
        (reply(500), "retry"),
        (reply(101), "retry"),
        (reply(None, "no"), "retry"),
    ],
)
def test_outcome(last: Reply, expected: str) -> None:
    assert outcome(last) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, None),
        ("", None),
        ("soon", None),
        ("nan", None),
        ("inf", None),
        ("1e5", None),
        ("١٢", None),
        ("0x10", None),
        ("120", 120.0),
        (" 120 ", 120.0),
        ("1.5", 1.5),
        ("-5", 0.0),
        ("0", 0.0),
        ("999999999", 86_400.0),
        ("9" * 400, 86_400.0),
        ("Sun, 01 Mar 2026 12:02:00 GMT", 120.0),
        ("Sun, 01 Mar 2026 12:02:00 -0000", 120.0),
        ("Sun, 01 Mar 2026 11:00:00 GMT", 0.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 86_400.0),
        ("Sun, 01 Mar 2026 12:02:00 +9999999999", None),
        ("Sun, 99 Mar 2026 12:02:00 GMT", None),
        ("," * 5_000, None),
    ],
)
def test_retry_after(text: str | None, expected: float | None) -> None:
    assert retry_after(text, NOW) == expected


def test_the_pure_parts_load_no_http_client() -> None:
    program = "import shared.webhook, sys; sys.exit('aiohttp' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
