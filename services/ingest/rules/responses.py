"""What a response is and becomes: made, joined with its invitation, edited, deleted; pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Any, Literal, NamedTuple
from zoneinfo import ZoneInfo

from shared.contracts.keys import Key
from shared.contracts.messages import InvitationChanged, ResponseChanged
from shared.contracts.values import Answer, CustomerSnapshot, Dimension, Transaction

State = Literal["submitted", "parked", "deleted", "forgotten"]
"""`forgotten`: it counts, but what was answered is not kept any longer."""
OWN_SOURCE = "/afterword/responses"
OWN_TYPE = "afterword.response"
"""The transaction of an answer that came without an invitation: the answering itself, with the data it brought."""


@dataclass(frozen=True)
class Joined:
    """What an answer is joined with: who gave it and what had happened, as it was."""

    trigger: str | None = None
    channel: str | None = None
    journey: str | None = None
    touchpoint: str | None = None
    customer: CustomerSnapshot | None = None
    transaction: Transaction | None = None
    dimensions: Mapping[str, Dimension] = field(default_factory=dict)


@dataclass(frozen=True)
class Response:
    """A response as it is stored. While it is parked it has no day and revision 0, and nobody was told of it."""

    workspace: str
    id: str
    revision: int
    state: State
    survey: str
    survey_version: int
    invitation: str | None
    locale: str | None
    answers: tuple[Answer, ...]
    joined: Joined
    day: date | None
    submitted_at: datetime
    created_at: datetime
    changed_at: datetime
    changed_by: str
    fingerprint: str | None
    """Of the body of an app's POST, to tell a retry from another answer."""

    @property
    def customer(self) -> str | None:
        return self.joined.customer.id if self.joined.customer else None


@dataclass(frozen=True)
class Answered:
    """An answer at the door, before it is known whether it can be joined."""

    workspace: str
    id: str
    survey: str
    survey_version: int
    invitation: str | None
    locale: str | None
    answers: tuple[Answer, ...]
    submitted_at: datetime | None
    by: str
    fingerprint: str | None = None


Closed = Literal["expired", "stopped"]


class Standing(NamedTuple):
    """How an invitation stands: all of it that decides whether it takes an answer."""

    state: str
    expires_at: datetime


def closed(invitation: Standing | None, at: datetime) -> Closed | None:
    """Why an invitation takes no answer at this time, None when it does or when its copy is not here."""
    if invitation is None:
        return None
    if invitation.state == "stopped":
        return "stopped"
    expired = invitation.state == "expired" or invitation.expires_at <= at
    return "expired" if expired else None


def parked(answered: Answered, at: datetime) -> Response:
    """The response whose invitation is not here yet."""
    return Response(
        workspace=answered.workspace,
        id=answered.id,
        revision=0,
        state="parked",
        survey=answered.survey,
        survey_version=answered.survey_version,
        invitation=answered.invitation,
        locale=answered.locale,
        answers=answered.answers,
        joined=Joined(),
        day=None,
        submitted_at=answered.submitted_at or at,
        created_at=at,
        changed_at=at,
        changed_by=answered.by,
        fingerprint=answered.fingerprint,
    )


def submitted(response: Response, joined: Joined, time_zone: str, at: datetime) -> Response:
    """The first revision that is announced; its day is fixed here for good."""
    time = joined.transaction.time if joined.transaction else None
    day = _day(time or response.submitted_at, time_zone)
    return replace(response, revision=1, state="submitted", joined=joined, day=day, changed_at=at)


def _day(time: datetime, time_zone: str) -> date:
    try:
        return time.astimezone(ZoneInfo(time_zone)).date()
    except OverflowError:  # the first or the last day there is
        return time.date()


def joined_with(invitation: InvitationChanged) -> Joined:
    """What an invitation brings, unchanged."""
    return Joined(
        trigger=invitation.trigger,
        channel=invitation.channel,
        journey=invitation.journey,
        touchpoint=invitation.touchpoint,
        customer=invitation.customer,
        transaction=invitation.transaction,
        dimensions=invitation.dimensions,
    )


def own_transaction(id: str, data: Mapping[str, Any]) -> Transaction | None:
    """The transaction of a response that brought its own data."""
    if not data:
        return None
    return Transaction(source=OWN_SOURCE, id=id, type=OWN_TYPE, data=dict(data))


def restored(workspace: str, message: ResponseChanged, by: str) -> Response:
    """The response that was announced so. When it was taken in is not known any more, but that it was there when it
    changed: what is kept for some days from then on is kept long enough. Nor is known of which body it was."""
    return Response(
        workspace=workspace,
        id=message.id,
        revision=message.revision,
        state=message.state,
        survey=message.survey,
        survey_version=message.survey_version,
        invitation=message.invitation,
        locale=message.locale,
        answers=message.answers,
        joined=Joined(
            trigger=message.trigger,
            channel=message.channel,
            journey=message.journey,
            touchpoint=message.touchpoint,
            customer=message.customer,
            transaction=message.transaction,
            dimensions=message.dimensions,
        ),
        day=message.day,
        submitted_at=message.submitted_at,
        created_at=message.changed_at,
        changed_at=message.changed_at,
        changed_by=by,
        fingerprint=None,
    )


def editable(response: Response, window: timedelta, at: datetime) -> bool:
    """Whether the answers may still be changed."""
    there = response.state not in ("deleted", "forgotten")
    return there and at < response.created_at + window


def edited(response: Response, answers: tuple[Answer, ...], by: str, at: datetime) -> Response:
    """The next revision with these answers; the same response when nothing changes."""
    if answers == response.answers:
        return response
    revision = response.revision + 1 if response.state == "submitted" else response.revision
    return replace(response, revision=revision, answers=answers, changed_by=by, changed_at=at)


def deleted(response: Response, by: str, at: datetime) -> Response:
    """The response without its answers; the same one when it is deleted already."""
    if response.state == "deleted":
        return response
    return replace(
        response,
        revision=response.revision + 1,
        state="deleted",
        answers=(),
        changed_by=by,
        changed_at=at,
    )


def given_way(response: Response, by: str, at: datetime) -> Response:
    """The response deleted, because another one stands for its invitation."""
    return replace(deleted(response, by, at), invitation=None)


def announcement(response: Response) -> tuple[Key, ResponseChanged] | None:
    """What the others are told; nothing of a response that is parked, or was when it was deleted, or is forgotten."""
    if response.day is None or response.state == "parked" or response.state == "forgotten":
        return None
    joined = response.joined
    message = ResponseChanged(
        revision=response.revision,
        id=response.id,
        state=response.state,
        survey=response.survey,
        survey_version=response.survey_version,
        invitation=response.invitation,
        trigger=joined.trigger,
        channel=joined.channel,
        journey=joined.journey,
        touchpoint=joined.touchpoint,
        locale=response.locale,
        customer=joined.customer,
        transaction=joined.transaction,
        dimensions=dict(joined.dimensions),
        answers=response.answers,
        day=response.day,
        submitted_at=response.submitted_at,
        changed_at=response.changed_at,
    )
    return Key(response.workspace, response.customer or response.id), message
