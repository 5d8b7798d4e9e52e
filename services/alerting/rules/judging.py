"""Decides which responses raise or withdraw an alert; pure."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Literal

from shared.conditions import Condition
from shared.contracts.messages import AlertRaised, AlertWithdrawn, ResponseChanged
from shared.contracts.values import (
    answer_facts,
    customer_facts,
    dimension_values,
    transaction_facts,
)

CLOCK_TOLERANCE = timedelta(seconds=60)

AlertState = Literal["raised", "withdrawn"]
ResponseKey = tuple[str, str]
"""Workspace and response."""


@dataclass(frozen=True, slots=True)
class Rule:
    """An alert rule ready to judge. Only an active one raises; a paused one still withdraws its alerts."""

    workspace: str
    id: str
    active: bool
    active_from: datetime
    severity: str
    name: dict[str, str]
    condition: Condition


@dataclass(frozen=True, slots=True)
class Seen:
    """One revision of a response, as it came from the log."""

    workspace: str
    response: ResponseChanged
    appended_at: datetime
    traceparent: str | None = None

    @property
    def key(self) -> ResponseKey:
        return self.workspace, self.response.id


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert as it stands. `revision` is the response's last one judged, `sequence` counts announcements."""

    workspace: str
    id: str
    rule: str
    response: ResponseChanged
    revision: int
    state: AlertState
    sequence: int
    severity: str
    raised_at: datetime
    changed_at: datetime

    @property
    def key(self) -> tuple[str, str, str]:
        return self.workspace, self.response.id, self.rule


@dataclass(frozen=True, slots=True)
class Announcement:
    """That an alert was raised or withdrawn; `alert` is as it was at that moment."""

    alert: Alert
    rule_name: dict[str, str]
    traceparent: str | None

    @property
    def message_id(self) -> str:
        """The webhook-id: the alert's id and sequence number, without a full stop."""
        return f"{self.alert.id}-{self.alert.sequence}"

    @property
    def type(self) -> str:
        return type_of(self.message().TYPE)

    def message(self) -> AlertRaised:
        """What goes to the alerts topic; its revision is the sequence number."""
        alert = self.alert
        model = AlertRaised if alert.state == "raised" else AlertWithdrawn
        return model(
            revision=alert.sequence,
            id=alert.id,
            rule=alert.rule,
            response=alert.response,
            raised_at=alert.raised_at,
        )


@dataclass
class Verdict:
    """What a batch changes: the alerts as they end, each announcement in order, the revisions judged."""

    alerts: dict[tuple[str, str, str], Alert] = field(default_factory=dict)
    announcements: list[Announcement] = field(default_factory=list)
    judged: dict[ResponseKey, int] = field(default_factory=dict)


def judge(
    batch: Sequence[Seen],
    judged: Mapping[ResponseKey, int],
    rules: Iterable[Rule],
    alerts: Iterable[Alert],
    at: datetime,
    new_id: Callable[[], str],
) -> Verdict:
    """Fold the batch in log order; a revision that is not newer than the last one judged is passed over.

    Each revision is judged on its own, so that what is announced does not depend on how the log was cut
    into batches.
    """
    verdict = Verdict()
    by_workspace: dict[str, list[Rule]] = {}
    for rule in rules:
        by_workspace.setdefault(rule.workspace, []).append(rule)
    standing: dict[ResponseKey, dict[str, Alert]] = {}
    for old in alerts:
        standing.setdefault((old.workspace, old.response.id), {})[old.rule] = old
    for seen in batch:
        key = seen.key
        if seen.response.revision <= verdict.judged.get(key, judged.get(key, 0)):
            continue
        verdict.judged[key] = seen.response.revision
        known = {rule.id: rule for rule in by_workspace.get(seen.workspace, ())}
        own = standing.setdefault(key, {})
        for id in sorted(known.keys() | own.keys()):
            alert, announced = _judged(seen, id, known.get(id), own.get(id), at, new_id)
            if alert is not None:
                own[id] = verdict.alerts[alert.key] = alert
            if announced is not None:
                verdict.announcements.append(announced)
    return verdict


def _judged(
    seen: Seen,
    rule_id: str,
    rule: Rule | None,
    old: Alert | None,
    at: datetime,
    new_id: Callable[[], str],
) -> tuple[Alert | None, Announcement | None]:
    """The alert of one rule after one revision, and what is to be said of it."""
    if old is not None and seen.response.revision <= old.revision:
        return None, None  # an alert that was restored has been told of this one
    state = _state(seen, rule, old)
    if old is None:
        if state is None or rule is None:
            return None, None
        alert = _raised(seen, rule, at, new_id())
        return alert, Announcement(alert, rule.name, seen.traceparent)
    if state is None or state == old.state:
        return replace(old, response=seen.response, revision=seen.response.revision), None
    alert = replace(old, response=seen.response, revision=seen.response.revision)
    alert = replace(alert, state=state, sequence=old.sequence + 1, changed_at=at)
    if state == "raised":
        alert = replace(alert, raised_at=at, severity=rule.severity if rule else old.severity)
    return alert, Announcement(alert, rule.name if rule else {}, seen.traceparent)


def _raised(seen: Seen, rule: Rule, at: datetime, id: str) -> Alert:
    return Alert(
        workspace=seen.workspace,
        id=id,
        rule=rule.id,
        response=seen.response,
        revision=seen.response.revision,
        state="raised",
        sequence=1,
        severity=rule.severity,
        raised_at=at,
        changed_at=at,
    )


def restored(workspace: str, message: AlertRaised, at: datetime, rule: Rule | None) -> Alert:
    """The alert that was announced so, as far as that tells."""
    return Alert(
        workspace=workspace,
        id=message.id,
        rule=message.rule,
        response=message.response,
        revision=message.response.revision,
        state="withdrawn" if isinstance(message, AlertWithdrawn) else "raised",
        sequence=message.revision,
        severity=rule.severity if rule else "normal",
        raised_at=message.raised_at,
        changed_at=at,
    )


def _state(seen: Seen, rule: Rule | None, old: Alert | None) -> AlertState | None:
    """The state the alert should be in now; None where there is none and none is to be made."""
    if seen.response.state == "deleted":
        return "withdrawn" if old else None
    if rule is None:
        return old.state if old else None
    matches = rule.condition.matches(facts(seen.response)) is True
    if old is not None and old.state == "raised":
        return "raised" if matches else "withdrawn"
    acts = rule.active and seen.appended_at >= rule.active_from - CLOCK_TOLERANCE
    if matches and acts:
        return "raised"
    return old.state if old else None


def facts(response: ResponseChanged) -> dict[str, Any]:
    """What conditions read of a response: event, data, customer, dimensions and answers."""
    return transaction_facts(response.transaction) | {
        "customer": customer_facts(response.customer),
        "dimensions": dimension_values(response.dimensions),
        "answers": answer_facts(response.answers),
    }


def type_of(announced: str) -> str:
    """The type in a delivery's body, from that of the message: afterword.alert.raised is alert.raised."""
    return announced.removeprefix("afterword.")


def body_of(announcement: Announcement) -> dict[str, Any]:
    """The body of the deliveries of an announcement, as plain JSON values."""
    alert = announcement.alert
    whole = alert.response.model_dump(mode="json", exclude_none=True)
    joined = {name: whole.pop(name, None) for name in ("customer", "transaction", "dimensions")}
    return {
        "type": announcement.type,
        "timestamp": alert.changed_at.isoformat(),
        "data": {
            "alert": {
                "id": alert.id,
                "sequence": alert.sequence,
                "state": alert.state,
                "severity": alert.severity,
                "raised_at": alert.raised_at.isoformat(),
            },
            "rule": {"id": alert.rule, "name": announcement.rule_name},
            "response": whole,
            **joined,
        },
    }
