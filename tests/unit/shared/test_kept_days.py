"""Settings that would let go of what can still come back, or be changed, are refused with a sentence that says why."""

import importlib
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

KEPT = [
    ("ingest", "retain_answers_days"),
    ("ingest", "retain_invitations_days"),
    ("trigger", "retain_decisions_days"),
    ("trigger", "retain_invitations_days"),
    ("scoring", "retain_answers_days"),
    ("alerting", "retain_answers_days"),
]


def settings(service: str, **values: Any) -> Any:
    made = importlib.import_module(f"services.{service}.settings").Settings
    return made(
        log_url="sqlite:///log",
        database_url="sqlite:///database",
        access_file=Path("access.yaml"),
        token_keys=SecretStr("a:b"),
        **values,
    )


@pytest.mark.parametrize(("service", "name"), KEPT)
def test_what_is_kept_is_kept_for_ever_or_longer_than_anything_comes_back(
    service: str, name: str
) -> None:
    for days in (0, 40, 400):
        assert getattr(settings(service, **{name: days}), name) == days
    for days in (1, 39):
        with pytest.raises(ValidationError, match="must be kept for 40 days or more"):
            settings(service, **{name: days})


def test_answers_that_may_be_edited_are_kept() -> None:
    window = timedelta(days=60)
    settings("ingest", retain_answers_days=60, edit_window=window)
    settings("ingest", retain_answers_days=0, edit_window=window)
    with pytest.raises(ValidationError, match="lets be edited for 60 days"):
        settings("ingest", retain_answers_days=59, edit_window=window)


def test_the_page_about_retention_names_each_setting_with_its_default() -> None:
    page = (Path(__file__).parents[3] / "docs" / "operate" / "retention.md").read_text("utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| ")]
    for service, name in [*KEPT, ("alerting", "retain_deliveries_days")]:
        days = getattr(settings(service), name)
        said = f"| {days} days" if days else "| for ever"
        own = [row for row in rows if f"`AFTERWORD_{name.upper()}`" in row]
        assert len(own) == 1, name
        assert said in own[0]
        assert f"{service}:" in own[0]
