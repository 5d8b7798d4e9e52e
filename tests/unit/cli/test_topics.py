"""Where a group is moved when it shall read again from a moment on."""

import re

import pytest
import typer

from services.cli.topics import Move, moment_of, moves, told
from shared.log import Lag, TopicPartition

_AT = [TopicPartition("events", n) for n in range(4)]
_LAGS = {
    _AT[2]: Lag(start=0, end=90, committed=None),
    _AT[1]: Lag(start=0, end=90, committed=40),
    _AT[0]: Lag(start=10, end=90, committed=80),
    _AT[3]: Lag(start=0, end=90, committed=90),
}


def test_it_goes_back_where_something_was_handled_and_never_forward() -> None:
    firsts = {_AT[0]: 50, _AT[1]: 50, _AT[2]: 50, _AT[3]: 90}
    assert moves(_LAGS, firsts) == [Move(_AT[0], 80, 50)]


def test_the_last_line_says_what_was_done_or_would_be() -> None:
    moment = moment_of("2026-11-24T09:30:00+08:00")
    found = [Move(_AT[0], 2_080, 50), Move(_AT[3], 90, 80)]
    looked, done = (told("trigger", moment, found, done=done) for done in (False, True))
    assert looked.startswith("trigger would handle up to 2,040 records")
    assert "--yes" in looked
    assert done == (
        "trigger handles up to 2,040 records since 2026-11-24T09:30:00+08:00 again when it runs"
    )
    assert "nothing" in told("trigger", moment, [], done=True)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("yesterday", "give a moment such as"),
        ("2026-11-24T09:30:00", "say the zone too"),
        ("2026-13-24T09:30:00Z", "give a moment"),
    ],
)
def test_a_moment_without_zone_or_sense_is_refused(text: str, words: str) -> None:
    with pytest.raises(typer.BadParameter, match=re.escape(words)):
        moment_of(text)
