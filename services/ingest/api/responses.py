"""Responses over the API: apps hand them in, edit and delete them; everybody reads them here."""

from datetime import date, datetime
from typing import Annotated, Literal

import fastapi
from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel

from services.ingest.api.wishes import (
    Edit,
    ResponseWish,
    fingerprint_of,
    own_facts,
    read_wish,
    right_answers,
)
from services.ingest.context import InContext
from services.ingest.instruments import RESPONSES
from services.ingest.rules import responses as rules
from services.ingest.rules.questions import read_survey
from services.ingest.rules.responses import Response
from services.ingest.store import responses as store
from services.ingest.store import surveys
from services.ingest.store.units import view_of
from shared.auth import Principal, Scope, requires
from shared.contracts.values import Answer, CustomerSnapshot, Dimension, Transaction
from shared.db import Tx, after_commit, now
from shared.http.pages import Cursor, Limit, Page, decode_cursor, following
from shared.http.problems import Problem, not_found

Reader = Annotated[Principal, Depends(requires(Scope.RESPONSES_READ))]
Writer = Annotated[Principal, Depends(requires(Scope.RESPONSES_WRITE))]
router = APIRouter(prefix="/v1/responses", tags=["responses"])


class ResponseJson(BaseModel):
    """A response. `parked`: its invitation is not here yet, so it has no day and nobody was told of it. `forgotten`: it
    counts, but its answers and what they are about are not kept any longer."""

    id: str
    revision: int
    state: Literal["submitted", "parked", "deleted", "forgotten"]
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
    fingerprint = fingerprint_of(body)
    async with context.database.begin() as tx:
        known = await store.get_response(tx, workspace, body.id)
        if known is None:
            answered = await read_wish(tx, principal, body, fingerprint)
            own = None if body.invitation else await own_facts(tx, workspace, body)
            outcome = await store.submit(tx, answered, own=own, time_zone=zone)
            if outcome.fresh and outcome.response is not None:
                after_commit(tx, RESPONSES.labels("api").inc)
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
    state: Literal["submitted", "parked", "deleted", "forgotten"] | None = None,
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
            await view_of(tx, principal.workspace, principal.data),
            wanted,
            after=(after[0], after[1]) if after else None,
            limit=limit + 1,
        )
    items = [_json(response) for response in found[:limit]]
    return Page(items=items, next=following(found, limit, "created_at", "id"))


@router.get("/{id}", response_model=ResponseJson)
async def get_response(id: str, principal: Reader, context: InContext) -> ResponseJson:
    """One response as it is now; a deleted one has no answers."""
    async with context.database.read() as tx:
        return _json(await _found(tx, principal, id))


@router.put("/{id}", response_model=ResponseJson)
async def edit_response(id: str, body: Edit, principal: Writer, context: InContext) -> ResponseJson:
    """Replace the answers while the edit window is open; the same answers again change nothing."""
    async with context.database.begin() as tx:
        response = await _changeable(tx, principal, id)
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
        changed = rules.edited(response, right_answers(survey, body.answers), principal.id, at)
        if changed is not response:
            await store.save(tx, [changed])
    return _json(changed)


@router.delete("/{id}", status_code=204)
async def delete_response(id: str, principal: Writer, context: InContext) -> fastapi.Response:
    """Delete the answers; the response stays as a deleted one, which counts nowhere. Idempotent."""
    async with context.database.begin() as tx:
        response = await _changeable(tx, principal, id)
        changed = rules.deleted(response, principal.id, await now(tx))
        if changed is not response:
            await store.save(tx, [changed])
    return fastapi.Response(status_code=204)


async def _found(tx: Tx, principal: Principal, id: str, *, lock: bool = False) -> Response:
    response = await store.get_response(tx, principal.workspace, id, lock=lock)
    view = await view_of(tx, principal.workspace, principal.data)
    if response is None or not view.allows(response.joined.dimensions):
        raise not_found("response", id)
    return response


async def _changeable(tx: Tx, principal: Principal, id: str) -> Response:
    """The response, locked. Raises a 409 `Problem` for one that is forgotten: what it counts as is not known here."""
    response = await _found(tx, principal, id, lock=True)
    if response.state == "forgotten":
        detail = f"What the response {id!r} said is not kept any longer; what it counts as stays."
        raise Problem(409, "forgotten", detail)
    return response


def _json(response: Response) -> ResponseJson:
    own = {
        name: value for name, value in vars(response).items() if name in ResponseJson.model_fields
    }
    return ResponseJson(**{**vars(response.joined), **own})
