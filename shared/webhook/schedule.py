"""Decides what a reply to a webhook means and when the next attempt is due; pure."""

import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Literal, NamedTuple

RETRY_SCHEDULE: tuple[timedelta, ...] = (
    timedelta(0),
    timedelta(seconds=5),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=5),
    timedelta(hours=10),
    timedelta(hours=14),
    timedelta(hours=20),
    timedelta(hours=24),
)
"""How long after the one before each attempt is made: ten of them over 75 hours and a half."""

_SPREAD = 0.2  # what failed together must not come back together
_THROTTLED_SECONDS = 60.0
_LONGEST_WAIT_SECONDS = 86_400.0
_SECONDS = re.compile(r"-?[0-9]+(\.[0-9]+)?")

Outcome = Literal["delivered", "retry", "gone"]


class Reply(NamedTuple):
    """What came of one attempt; a receiver that sent its status and then broke off has both.

    `error` is None exactly when an HTTP answer, no redirect, was read to its end or to our limit.
    """

    status: int | None
    error: str | None
    body: str
    retry_after_seconds: float | None
    duration_seconds: float
    timed_out: bool = False


def outcome(reply: Reply) -> Outcome:
    """Only a complete 2xx is a delivery, only a complete 410 asks for the endpoint to be disabled.

    A 200 that breaks off is tried again: the receiver deduplicates by `webhook-id`, a loss is for ever.
    """
    if reply.error is not None or reply.status is None:
        return "retry"
    if 200 <= reply.status <= 299:
        return "delivered"
    return "gone" if reply.status == 410 else "retry"


def next_attempt(
    attempts_made: int, reply: Reply | None, now: datetime, jitter: float
) -> datetime | None:
    """When to try again after `attempts_made` attempts, or None when the schedule is exhausted.

    `reply` is that of the last attempt, None before the first; `jitter` in [0, 1) spreads the schedule by
    20 % either way. Retry-After, and a minute after a timeout or a 429, may lengthen the wait and never
    shorten it; these are spread upward only, so that the receiver gets at least what it asked for.
    """
    if attempts_made >= len(RETRY_SCHEDULE):
        return None
    scheduled = RETRY_SCHEDULE[attempts_made].total_seconds()
    asked = 0.0
    if reply is not None:
        throttled = reply.timed_out or reply.status == 429
        asked = max(reply.retry_after_seconds or 0.0, _THROTTLED_SECONDS if throttled else 0.0)
    wait = max(
        scheduled * (1 - _SPREAD + 2 * _SPREAD * jitter),
        min(asked, _LONGEST_WAIT_SECONDS) * (1 + _SPREAD * jitter),
    )
    return now + timedelta(seconds=wait)


def retry_after(text: str | None, now: datetime) -> float | None:
    """The seconds a Retry-After header asks for (a number or an HTTP date), within [0, 86400].

    None when there is no header or it says nothing we can read.
    """
    if text is None:
        return None
    text = text.strip()
    if len(text) <= 400 and _SECONDS.fullmatch(text):
        seconds = float(text)
    else:
        try:
            date = parsedate_to_datetime(text)
        except (ValueError, TypeError, OverflowError, IndexError):
            return None
        seconds = (date.replace(tzinfo=date.tzinfo or UTC) - now).total_seconds()
    return min(max(seconds, 0.0), _LONGEST_WAIT_SECONDS)
