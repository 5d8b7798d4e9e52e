"""What an app wants a response to be: its shape, and whether it fits what is here."""

from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Annotated, Any, Final

import msgspec
from pydantic import AwareDatetime, Field, StrictInt, WithJsonSchema

from services.ingest.rules import responses as rules
from services.ingest.rules.answers import AnswerError, read_answers
from services.ingest.rules.questions import Survey, read_survey
from services.ingest.rules.responses import Answered, Joined
from services.ingest.rules.text import allowed, trouble
from services.ingest.store import invitations, joining, surveys
from shared.auth import Principal
from shared.contracts.events import MAX_EVENT_BYTES
from shared.contracts.values import Answer
from shared.db import Tx, now
from shared.definitions.documents import Identifier, Locale
from shared.http.bodies import Body
from shared.http.problems import FieldError, invalid

CustomerId = Annotated[str, Field(min_length=1, max_length=255)]

_EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)
"""Older answers are typing errors; the oldest times of all do not even fit a database."""

MAX_DIMENSIONS: Final = 20
"""As many as a trigger may map."""

_CLOCKS: Final = timedelta(minutes=5)
"""How far an app's clock may be ahead of the database's."""

_VALUES: Final = {
    "anyOf": [
        {"type": "integer"},
        {"type": "string"},
        {"type": "array", "items": {"type": "string"}},
    ]
}
Answers = Annotated[
    dict[str, Any],
    Field(max_length=100),
    WithJsonSchema(
        {"type": "object", "additionalProperties": _VALUES, "examples": [{"recommend": 9}]}
    ),
]
"""A number, an option's id, a list of them, or a text, by question."""


class ResponseWish(Body):
    """A response as an app hands it in. Its id makes a retry harmless.

    An answer to an invitation takes customer, transaction, dimensions and place from it; any other brings its own.
    """

    id: Identifier
    survey: Identifier
    survey_version: StrictInt | None = Field(None, ge=1, lt=2**31)
    invitation: Identifier | None = None
    customer: CustomerId | None = None
    data: dict[str, Any] | None = None
    dimensions: (
        Annotated[
            dict[Identifier, Annotated[str, Field(min_length=1, max_length=255)]],
            Field(max_length=MAX_DIMENSIONS),
        ]
        | None
    ) = None
    journey: Identifier | None = None
    touchpoint: Identifier | None = None
    channel: Identifier | None = None
    locale: Locale | None = None
    answers: Answers
    submitted_at: AwareDatetime | None = None


class Edit(Body):
    """All answers as they shall be from now on."""

    answers: Answers


async def read_wish(tx: Tx, principal: Principal, body: ResponseWish, fingerprint: str) -> Answered:
    """Check a wish against what is here. Raises a 422 `Problem`."""
    errors = [*_misplaced(body), *_unfit(body)]
    if body.submitted_at is not None:
        latest = await now(tx) + _CLOCKS
        if not _EARLIEST <= body.submitted_at <= latest:
            message = f"is {body.submitted_at.isoformat()}"
            expected = f"a time from {_EARLIEST.isoformat()} to now"
            errors.append(FieldError("submitted_at", message, expected))
    if body.invitation is not None:
        copy = await invitations.get_invitation(tx, principal.workspace, body.invitation)
        if copy is not None and copy.survey != body.survey:
            asked = f"{copy.survey!r}, which the invitation asks"
            errors.append(FieldError("survey", f"is {body.survey!r}", asked))
    if errors:
        raise invalid(errors)
    survey = await _survey(tx, principal.workspace, body)
    return Answered(
        workspace=principal.workspace,
        id=body.id,
        survey=body.survey,
        survey_version=survey.version,
        invitation=body.invitation,
        locale=body.locale,
        answers=right_answers(survey, body.answers),
        submitted_at=body.submitted_at,
        by=principal.id,
        fingerprint=fingerprint,
    )


def _misplaced(body: ResponseWish) -> list[FieldError]:
    if body.invitation is None:
        return []
    brought = ("customer", "data", "dimensions", "journey", "touchpoint", "channel")
    message = "is given, but an answer to an invitation takes it from there"
    return [
        FieldError(name, message, "left out") for name in brought if getattr(body, name) is not None
    ]


def _unfit(body: ResponseWish) -> list[FieldError]:
    """What an event could not bring either, or what no reader, nor a record of the log, could hold."""
    errors = []
    size = len(msgspec.json.encode(body.data or {}))
    if size > MAX_EVENT_BYTES:
        errors.append(FieldError("data", f"is {size:,} bytes", f"at most {MAX_EVENT_BYTES:,}"))
    if body.customer is not None and not allowed(body.customer):
        errors.append(FieldError("customer", "has a control character", "printable text"))
    if found := trouble(body.data or {}, "data"):
        errors.append(FieldError(*found))
    return errors


async def _survey(tx: Tx, workspace: str, body: ResponseWish) -> Survey:
    if body.survey_version is None:
        found = await surveys.published_survey(tx, workspace, body.survey)
        if found is None:
            message = f"there is no published survey {body.survey!r}"
            raise invalid([FieldError("survey", message, "a published survey's id")])
        return read_survey(body.survey, *found)
    document = await surveys.survey_version(tx, workspace, body.survey, body.survey_version)
    if document is None or document["state"] != "published":
        message = f"the survey {body.survey!r} has no published version {body.survey_version}"
        raise invalid([FieldError("survey_version", message, "a published version, or left out")])
    return read_survey(body.survey, body.survey_version, document)


async def own_facts(tx: Tx, workspace: str, body: ResponseWish) -> Joined:
    """What a response without an invitation brings along."""
    return Joined(
        channel=body.channel,
        journey=body.journey,
        touchpoint=body.touchpoint,
        customer=await joining.snapshot(tx, workspace, body.customer) if body.customer else None,
        transaction=rules.own_transaction(body.id, body.data or {}),
        dimensions=await joining.resolve(tx, workspace, body.dimensions or {}),
    )


def right_answers(survey: Survey, given: dict[str, Any]) -> tuple[Answer, ...]:
    """The answers that apply. Raises a 422 `Problem` at each one that is wrong."""
    reading = read_answers(survey, given)
    if reading.errors:
        raise invalid([_field_error(error) for error in reading.errors])
    return reading.answers


def _field_error(error: AnswerError) -> FieldError:
    return FieldError(f"answers.{error.question}", error.message, error.expected)


def fingerprint_of(body: ResponseWish) -> str:
    """The same for the same wish, however it was written down."""
    document = body.model_dump(mode="json", exclude_none=True)
    return sha256(msgspec.json.encode(document, order="deterministic")).hexdigest()
