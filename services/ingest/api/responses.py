"""Responses over the API: apps hand them in, edit and delete them; everybody reads them here."""

from datetime import date, datetime, timedelta
from hashlib import sha256
from typing import Annotated, Any, Final, Literal

import fastapi
import msgspec
from fastapi import APIRouter, Depends, Query
from pydantic import AwareDatetime, BaseModel, Field, StrictInt, WithJsonSchema

from services.ingest.context import InContext
from services.ingest.rules import responses as rules
from services.ingest.rules.answers import AnswerError, read_answers
from services.ingest.rules.questions import Survey, read_survey
from services.ingest.rules.responses import Answered, Joined, Response
from services.ingest.store import invitations, joining, surveys
from services.ingest.store import responses as store
from shared.auth import Principal, Scope, requires
from shared.contracts.values import Answer, CustomerSnapshot, Dimension, Transaction
from shared.db import Tx, now
from shared.definitions.documents import Identifier, Locale
from shared.http.bodies import Body
from shared.http.pages import Cursor, Limit, Page, decode_cursor, encode_cursor
from shared.http.problems import FieldError, Problem, invalid, not_found
from shared.telemetry import RESPONSES

Reader = Annotated[Principal, Depends(requires(Scope.RESPONSES_READ))]
Writer = Annotated[Principal, Depends(requires(Scope.RESPONSES_WRITE))]
CustomerId = Annotated[str, Field(min_length=1, max_length=255)]

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

router = APIRouter(prefix="/v1/responses", tags=["responses"])


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
    dimensions: dict[Identifier, Annotated[str, Field(min_length=1, max_length=255)]] | None = None
    journey: Identifier | None = None
    touchpoint: Identifier | None = None
    channel: Identifier | None = None
    locale: Locale | None = None
    answers: Answers
    submitted_at: AwareDatetime | None = None


class Edit(Body):
    """All answers as they shall be from now on."""

    answers: Answers


class ResponseJson(BaseModel):
    """A response. `parked`: its invitation is not here yet, so it has no day and nobody was told of it."""

    id: str
    revision: int
    state: Literal["submitted", "parked", "deleted"]
    survey: str
    survey_version: int
    invitation: str | None
    trigger: str | None
    channel: str | None
    journey: str | None
    touchpoint: str | None
    locale: str | None
    customer: CustomerSnapshot | None
    transaction: Transaction | None
    dimensions: dict[str, Dimension]
    answers: tuple[Answer, ...]
    day: date | None
    submitted_at: datetime
    created_at: datetime
    changed_at: datetime
    changed_by: str


@router.post("", status_code=201, response_model=ResponseJson)
async def submit_response(
    body: ResponseWish, principal: Writer, context: InContext, http: fastapi.Response
) -> ResponseJson:
    """Take a response in: 201, or 200 when the same one is here already, 409 when another one has its place."""
    workspace = principal.workspace
    zone = context.access.workspaces[workspace].time_zone
    fingerprint = _fingerprint(body)
    async with context.database.begin() as tx:
        known = await store.get_response(tx, workspace, body.id)
        if known is None:
            answered = await _read(tx, principal, body, fingerprint)
            own = None if body.invitation else await _own(tx, workspace, body)
            outcome = await store.submit(tx, answered, own=own, time_zone=zone)
            if outcome.fresh and outcome.response is not None:
                RESPONSES.labels("api").inc()
                return _json(outcome.response)
            if outcome.closed:
                raise Problem(
                    409,
                    f"invitation-{outcome.closed}",
                    f"The invitation {body.invitation!r} is {outcome.closed}.",
                )
            known = outcome.response
    if known is None or known.id != body.id:
        detail = f"The invitation {body.invitation!r} has its answer: the response {known.id if known else ''!r}."
        raise Problem(409, "already-answered", detail)
    if known.fingerprint != fingerprint:
        raise Problem(
            409, "other-body", f"There is another response {body.id!r}; edit it with PUT."
        )
    http.status_code = 200
    return _json(known)


@router.get("", response_model=Page[ResponseJson])
async def list_responses(
    principal: Reader,
    context: InContext,
    survey: str | None = None,
    customer: str | None = None,
    invitation: str | None = None,
    state: Literal["submitted", "parked", "deleted"] | None = None,
    first_day: Annotated[
        date | None, Query(alias="from", description="Of this day or later")
    ] = None,
    last_day: Annotated[
        date | None, Query(alias="to", description="Of this day or earlier")
    ] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[ResponseJson]:
    """Responses, the newest first."""
    wanted = store.Filter(survey, customer, invitation, state, first_day, last_day)
    after = decode_cursor(cursor, datetime, str)
    async with context.database.read() as tx:
        found = await store.list_responses(
            tx,
            principal.workspace,
            wanted,
            after=(after[0], after[1]) if after else None,
            limit=limit + 1,
        )
    more = (
        encode_cursor(found[limit - 1].created_at, found[limit - 1].id)
        if len(found) > limit
        else None
    )
    return Page(items=[_json(response) for response in found[:limit]], next=more)


@router.get("/{id}", response_model=ResponseJson)
async def get_response(id: str, principal: Reader, context: InContext) -> ResponseJson:
    """One response as it is now; a deleted one has no answers."""
    async with context.database.read() as tx:
        return _json(await _found(tx, principal, id))


@router.put("/{id}", response_model=ResponseJson)
async def edit_response(id: str, body: Edit, principal: Writer, context: InContext) -> ResponseJson:
    """Replace the answers while the edit window is open; the same answers again change nothing."""
    async with context.database.begin() as tx:
        response = await _found(tx, principal, id, lock=True)
        at = await now(tx)
        if response.state == "deleted":
            raise Problem(409, "deleted", f"The response {id!r} was deleted.")
        if not rules.editable(response, context.settings.edit_window, at):
            until = response.created_at + context.settings.edit_window
            raise Problem(
                409,
                "edit-window",
                f"The response {id!r} could be edited until {until.isoformat()}.",
            )
        document = await surveys.survey_version(
            tx, principal.workspace, response.survey, response.survey_version
        )
        if document is None:
            raise Problem(
                409, "unknown-survey", f"The survey {response.survey!r} is not here any more."
            )
        survey = read_survey(response.survey, response.survey_version, document)
        changed = rules.edited(response, _answers(survey, body.answers), principal.id, at)
        if changed is not response:
            await store.save(tx, [changed])
    return _json(changed)


@router.delete("/{id}", status_code=204)
async def delete_response(id: str, principal: Writer, context: InContext) -> fastapi.Response:
    """Delete the answers; the response stays as a deleted one, which counts nowhere. Idempotent."""
    async with context.database.begin() as tx:
        response = await _found(tx, principal, id, lock=True)
        changed = rules.deleted(response, principal.id, await now(tx))
        if changed is not response:
            await store.save(tx, [changed])
    return fastapi.Response(status_code=204)


async def _read(tx: Tx, principal: Principal, body: ResponseWish, fingerprint: str) -> Answered:
    """Check a wish against what is here. Raises a 422 `Problem`."""
    errors = _misplaced(body)
    if body.submitted_at is not None and body.submitted_at > await now(tx) + _CLOCKS:
        errors.append(FieldError("submitted_at", "lies in the future", "a time that has been"))
    if body.invitation is not None:
        copy = await invitations.get_invitation(tx, principal.workspace, body.invitation)
        if copy is not None and copy.survey != body.survey:
            errors.append(
                FieldError(
                    "survey", f"is {body.survey!r}", f"{copy.survey!r}, which the invitation asks"
                )
            )
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
        answers=_answers(survey, body.answers),
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


async def _survey(tx: Tx, workspace: str, body: ResponseWish) -> Survey:
    if body.survey_version is None:
        found = await surveys.published_survey(tx, workspace, body.survey)
        if found is None:
            raise invalid(
                [
                    FieldError(
                        "survey", f"there is no published survey {body.survey!r}", "a survey's id"
                    )
                ]
            )
        return read_survey(body.survey, *found)
    document = await surveys.survey_version(tx, workspace, body.survey, body.survey_version)
    if document is None or document["state"] != "published":
        message = f"the survey {body.survey!r} has no published version {body.survey_version}"
        raise invalid([FieldError("survey_version", message, "a published version, or left out")])
    return read_survey(body.survey, body.survey_version, document)


async def _own(tx: Tx, workspace: str, body: ResponseWish) -> Joined:
    return Joined(
        channel=body.channel,
        journey=body.journey,
        touchpoint=body.touchpoint,
        customer=await joining.snapshot(tx, workspace, body.customer) if body.customer else None,
        transaction=rules.own_transaction(body.id, body.data or {}),
        dimensions=await joining.resolve(tx, workspace, body.dimensions or {}),
    )


def _answers(survey: Survey, given: dict[str, Any]) -> tuple[Answer, ...]:
    reading = read_answers(survey, given)
    if reading.errors:
        raise invalid([_field_error(error) for error in reading.errors])
    return reading.answers


def _field_error(error: AnswerError) -> FieldError:
    return FieldError(f"answers.{error.question}", error.message, error.expected)


def _fingerprint(body: ResponseWish) -> str:
    document = body.model_dump(mode="json", exclude_none=True)
    return sha256(msgspec.json.encode(document, order="deterministic")).hexdigest()


async def _found(tx: Tx, principal: Principal, id: str, *, lock: bool = False) -> Response:
    response = await store.get_response(tx, principal.workspace, id, lock=lock)
    if response is None:
        raise not_found("response", id)
    return response


def _json(response: Response) -> ResponseJson:
    own = {
        name: value for name, value in vars(response).items() if name in ResponseJson.model_fields
    }
    return ResponseJson(**{**vars(response.joined), **own})
