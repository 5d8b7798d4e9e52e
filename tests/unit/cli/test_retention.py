"""What `retention` makes of a service's answer."""

from typing import Any

from services.cli.retention import lines

PARTITION = {
    "name": "decisions_20250101",
    "first_day": "2025-01-01",
    "end_day": "2025-01-08",
    "rows": 12,
    "bytes": 34_000,
    "waits": True,
}
CLASS: dict[str, Any] = {
    "name": "decisions",
    "tables": ["decisions", "seen"],
    "kept_days": 400,
    "before": "2025-02-01",
    "oldest_day": "2025-01-01",
    "rows": 5,
    "days_ahead": 7,
    "partitions": [PARTITION],
}
FOR_EVER: dict[str, Any] = {
    "kept_days": None,
    "before": None,
    "oldest_day": None,
    "rows": 0,
    "partitions": [],
}


def test_a_line_for_each_class_and_each_old_partition() -> None:
    assert list(lines({"service": "trigger", "classes": [CLASS]})) == [
        (
            "trigger",
            "decisions",
            "decisions, seen",
            "400 days",
            "2025-01-01",
            "before 2025-02-01",
            "5",
            "",
            "",
        ),
        (
            "",
            "",
            "",
            "",
            "2025-01-01",
            "decisions_20250101",
            "about 12",
            "34000",
            "for what is pending",
        ),
    ]


def test_a_class_that_is_kept_for_ever_says_so() -> None:
    [line] = lines({"service": "trigger", "classes": [CLASS | FOR_EVER]})
    assert line == (
        "trigger",
        "decisions",
        "decisions, seen",
        "for ever",
        "-",
        "nothing",
        "0",
        "",
        "",
    )
