"""Every message that our services announce: past tense, full state, and the owner's revision."""

from datetime import date
from typing import Any, ClassVar

from pydantic import AwareDatetime

from shared.contracts.topics import Topic
from shared.contracts.values import (
    Answer,
    CustomerSnapshot,
    CustomerState,
    DefinitionState,
    Dimension,
    InvitationState,
    ResponseState,
    Transaction,
    Value,
)


class Message(Value):
    """State that travels whole. `TYPE` is its CloudEvents type, `VERSION` its schema version (major.minor)."""

    TYPE: ClassVar[str]
    TOPIC: ClassVar[Topic]
    VERSION: ClassVar[str] = "1.0"

    revision: int
    """The owner's count of changes; a consumer applies only a newer one."""


class CustomerChanged(Message):
    """All that is known of a customer, contact points and consent included."""

    TYPE = "afterword.customer.changed"
    TOPIC = Topic.CUSTOMERS

    id: str
    state: CustomerState = "active"
    attributes: dict[str, Any] = {}
    contact: dict[str, str] = {}
    locale: str | None = None
    time_zone: str | None = None
    consent: dict[str, bool] = {}
    changed_at: AwareDatetime


class DefinitionChanged(Message):
    """A definition as its owner stored it; `deleted` keeps the id so that copies can go."""

    TYPE = "afterword.definition.changed"
    TOPIC = Topic.DEFINITIONS

    kind: str
    id: str
    state: DefinitionState
    document: dict[str, Any] = {}
    active_from: AwareDatetime
    changed_by: str


class InvitationChanged(Message):
    """An invitation with the transaction and the customer as they were, and the link while it lives."""

    TYPE = "afterword.invitation.changed"
    TOPIC = Topic.INVITATIONS

    id: str
    state: InvitationState
    trigger: str
    survey: str
    channel: str
    journey: str | None = None
    touchpoint: str | None = None
    customer: CustomerSnapshot
    transaction: Transaction
    dimensions: dict[str, Dimension] = {}
    link: str
    made_at: AwareDatetime
    expires_at: AwareDatetime
    changed_at: AwareDatetime


class ResponseChanged(Message):
    """A response joined with who answered and what had happened; `day` is the workspace's day it counts on."""

    TYPE = "afterword.response.changed"
    TOPIC = Topic.RESPONSES

    id: str
    state: ResponseState
    survey: str
    survey_version: int
    invitation: str | None = None
    trigger: str | None = None
    channel: str | None = None
    journey: str | None = None
    touchpoint: str | None = None
    locale: str | None = None
    customer: CustomerSnapshot | None = None
    transaction: Transaction | None = None
    dimensions: dict[str, Dimension] = {}
    answers: tuple[Answer, ...] = ()
    day: date
    submitted_at: AwareDatetime
    changed_at: AwareDatetime


class AlertRaised(Message):
    """A rule matched a response; `sequence` counts what was announced of this alert."""

    TYPE = "afterword.alert.raised"
    TOPIC = Topic.ALERTS

    id: str
    rule: str
    response: ResponseChanged
    raised_at: AwareDatetime


class AlertWithdrawn(AlertRaised):
    """An edit or a deletion of the response took the reason of the alert away."""

    TYPE = "afterword.alert.withdrawn"


MESSAGES: tuple[type[Message], ...] = (
    CustomerChanged,
    DefinitionChanged,
    InvitationChanged,
    ResponseChanged,
    AlertRaised,
    AlertWithdrawn,
)
