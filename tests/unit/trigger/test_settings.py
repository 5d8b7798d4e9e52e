"""Settings of trigger that would contradict each other are refused."""

from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from services.trigger.settings import Settings


def keeping(days: int) -> int:
    return Settings(
        log_url="sqlite:///log",
        database_url="sqlite:///database",
        access_file=Path("access.yaml"),
        token_keys=SecretStr("a:b"),
        retain_decisions_days=days,
    ).retain_decisions_days


@pytest.mark.parametrize("days", [0, 40, 400])
def test_decisions_are_kept_for_ever_or_as_long_as_events(days: int) -> None:
    assert keeping(days) == days


@pytest.mark.parametrize("days", [1, 39])
def test_decisions_that_would_go_before_their_events_are_refused(days: int) -> None:
    with pytest.raises(ValidationError, match="must be kept for 40 days or more"):
        keeping(days)
