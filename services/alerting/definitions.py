"""The kinds of definitions that alerting owns: alert rules and endpoints."""

import json
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Literal

from pydantic import Field

from shared.conditions import Condition, ConditionError, parse
from shared.contracts.messages import AlertRaised, AlertWithdrawn
from shared.definitions import Kind
from shared.definitions.documents import Stateful, Translations
from shared.http.problems import FieldError
from shared.webhook import UrlError, check_url

RULE = "alert-rule"
ENDPOINT = "endpoint"
ROOTS = frozenset({"event", "data", "customer", "dimensions", "answers"})
TYPES = tuple(m.TYPE.removeprefix("afterword.") for m in (AlertRaised, AlertWithdrawn))
"""What an endpoint can subscribe to."""

_PATTERN = re.compile(r"\*|[a-z0-9_]+(\.[a-z0-9_]+)*(\.\*)?")


class AlertRule(Stateful):
    """Which responses somebody must be told about."""

    about: Literal["response"]
    when: dict[str, Any] = Field(description="The condition that a response must match")
    name: Translations = {}
    severity: Literal["low", "normal", "high"] = "normal"


class Endpoint(Stateful):
    """A URL that receives signed webhooks of the types it subscribes to."""

    url: str = Field(min_length=1, max_length=2_048)
    types: list[str] = Field(["alert.*"], min_length=1, max_length=20)
    description: str | None = Field(None, max_length=500)


def kinds(*, allow_loopback: bool) -> tuple[Kind, ...]:
    """Both kinds; `allow_loopback` is the development setting that lets an endpoint be on this machine."""

    def check_endpoint(document: Endpoint) -> Sequence[FieldError]:
        return [*_url_problems(document.url, allow_loopback), *_type_problems(document.types)]

    return (
        Kind(RULE, "alert-rules", AlertRule, check=_check_rule),
        Kind(ENDPOINT, "endpoints", Endpoint, check=check_endpoint),
    )


def matches(pattern: str, type: str) -> bool:
    """Whether a subscription covers a type: `alert.raised`, `alert.*` or `*`."""
    if pattern.endswith("*"):
        return type.startswith(pattern[:-1])
    return pattern == type


def condition_of(when: Mapping[str, Any]) -> Condition:
    """The compiled condition of a stored rule; compiled once for each wording."""
    return _compiled(json.dumps(when))


@lru_cache(maxsize=10_000)
def _compiled(when: str) -> Condition:
    return parse(json.loads(when), roots=ROOTS)


def _check_rule(document: AlertRule) -> Sequence[FieldError]:
    try:
        parse(document.when, roots=ROOTS)
    except ConditionError as error:
        return [FieldError(p.at, p.message, p.expected) for p in error.problems]
    return []


def _url_problems(url: str, allow_loopback: bool) -> list[FieldError]:
    try:
        check_url(url, allow_loopback=allow_loopback)
    except UrlError as error:
        return [FieldError("url", str(error), "https://crm.example.com/hooks/feedback")]
    return []


def _type_problems(patterns: Sequence[str]) -> list[FieldError]:
    expected = f"{', '.join(TYPES)}, alert.* or *"
    return [
        FieldError(f"types[{i}]", f"{pattern[:60]!r} matches no type that is ever sent", expected)
        for i, pattern in enumerate(patterns)
        if not _PATTERN.fullmatch(pattern) or not any(matches(pattern, t) for t in TYPES)
    ]
