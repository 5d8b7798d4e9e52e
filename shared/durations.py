"""Durations as people write them in definitions and queries: `30s`, `5m`, `2h`, `14d`, `4w`."""

import re
from datetime import timedelta
from typing import Final

from shared.errors import AfterwordError

EXPECTED: Final = "a whole number and a unit, s, m, h, d or w, such as 30s, 2h or 14d"
LONGEST: Final = timedelta(days=3_660)

_FORM = re.compile(r"([0-9]{1,9})([smhdw])", re.ASCII)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


class DurationError(AfterwordError, ValueError):
    """One sentence about a duration that cannot be read; `EXPECTED` says what can."""


def parse_duration(text: str) -> timedelta:
    """Read a duration. Raises `DurationError`; nothing is guessed: no fractions, no sums, no missing unit."""
    form = _FORM.fullmatch(text)
    if form is None:
        raise DurationError(f"{text[:40]!r} is not a duration")
    duration = timedelta(**{_UNITS[form[2]]: int(form[1])})
    if duration > LONGEST:
        raise DurationError(f"{text} is longer than ten years")
    return duration
