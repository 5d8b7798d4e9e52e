"""What a rule and an endpoint may say, and how a refusal helps."""

from typing import Any

import pytest

from services.alerting.definitions import kinds, matches
from shared.definitions.documents import read_document

RULE, ENDPOINT = kinds(allow_loopback=False)
WHEN = {"path": "answers.recommend", "lte": 6}


def errors(kind: Any, document: dict[str, Any]) -> dict[str, str]:
    wish, found = read_document(kind, "x", document)
    assert (wish is None) == bool(found)
    return {error.at: f"{error.message} | {error.expected}" for error in found}


def test_a_rule_as_in_the_documentation() -> None:
    assert errors(RULE, {"about": "response", "when": WHEN, "name": {"zh": "不满意"}}) == {}


@pytest.mark.parametrize(
    ("fields", "at", "hint"),
    [
        ({"about": "signal"}, "about", "response"),
        ({"when": {"path": "answers.recommend", "below": 6}}, "when", "lte"),
        ({"when": {"path": "metrics.nps", "lt": 6}}, "when.path", "answers"),
        ({"when": {}}, "when", "no operator"),
        ({"severity": "urgent"}, "severity", "high"),
        ({"name": {"english!": "x"}}, "name", "pattern"),
        ({"state": "off"}, "state", "paused"),
        ({"wen": {}}, "wen", "Extra"),
    ],
)
def test_a_wrong_rule_is_refused_by_field(fields: dict[str, Any], at: str, hint: str) -> None:
    found = errors(RULE, {"about": "response", "when": WHEN} | fields)
    [(place, text)] = found.items()
    assert place.startswith(at)
    assert hint in text


@pytest.mark.parametrize(
    "url",
    [
        "http://crm.example.com/hook",
        "https://10.0.0.7/hook",
        "https://127.0.0.1/hook",
        "https://localhost/hook",
        "https://169.254.169.254/latest",
        "https://me:secret@crm.example.com",
        "ftp://crm.example.com",
        "crm.example.com",
        "https://127.1/",
    ],
)
def test_a_url_that_may_not_be_called_is_refused(url: str) -> None:
    found = errors(ENDPOINT, {"url": url})
    assert list(found) == ["url"]
    assert "https://crm.example.com" in found["url"]


def test_loopback_is_for_development() -> None:
    _, local = kinds(allow_loopback=True)
    assert errors(local, {"url": "http://127.0.0.1:9000/hook"}) == {}
    assert list(errors(local, {"url": "http://10.0.0.7/hook"})) == ["url"]


@pytest.mark.parametrize(
    "pattern", ["alert.rased", "alert*", "alert.raised.*", "", "score.*", "**"]
)
def test_a_subscription_that_matches_nothing_is_refused(pattern: str) -> None:
    found = errors(ENDPOINT, {"url": "https://a.example.com", "types": ["alert.*", pattern]})
    assert list(found) == ["types[1]"]
    assert "alert.raised" in found["types[1]"]


def test_an_endpoint_subscribes_to_all_alerts_unless_it_says_otherwise() -> None:
    wish, _ = read_document(ENDPOINT, "crm", {"url": "https://a.example.com"})
    assert wish is not None
    assert wish.document["types"] == ["alert.*"]


@pytest.mark.parametrize(
    ("pattern", "type", "covered"),
    [
        ("alert.*", "alert.raised", True),
        ("*", "alert.withdrawn", True),
        ("alert.raised", "alert.raised", True),
        ("alert.raised", "alert.withdrawn", False),
        ("alert.*", "alerts.raised", False),
    ],
)
def test_patterns(pattern: str, type: str, covered: bool) -> None:
    assert matches(pattern, type) is covered
