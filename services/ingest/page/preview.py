"""A survey as it will look, drafts included: by a short-lived signed link, and never storing anything."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from services.ingest.context import Context, InContext
from services.ingest.page.answering import guarded, language_of, message, survey_page, thanks_page
from services.ingest.page.forms import Form, preselected, read_form
from services.ingest.page.views import newly_applicable, reading_of
from services.ingest.page.visits import NoSuchPage
from services.ingest.rules.questions import Survey, read_survey
from services.ingest.store import surveys
from shared.db import now

router = APIRouter(include_in_schema=False)


@router.api_route("/s/preview/{survey}", methods=["GET", "HEAD"])
async def show(survey: str, request: Request, context: InContext) -> Response:
    """The latest version, whatever its state."""

    async def work() -> Response:
        previewed = await _previewed(context, survey, request.query_params.get("token", ""))
        if previewed is None:
            return message("expired", request, language_of(request))
        form = preselected(previewed, request.query_params.get("answer"))
        return survey_page(request, previewed, form, reading_of(previewed, form), preview=True)

    return await guarded(request, context, work)


@router.post("/s/preview/{survey}")
async def answer(survey: str, request: Request, context: InContext) -> Response:
    """The same questions and errors that a customer would see; the end stores nothing."""

    async def work() -> Response:
        form = read_form(await request.body())
        previewed = await _previewed(context, survey, request.query_params.get("token", ""))
        if previewed is None:
            return message("expired", request, language_of(request, form))
        return _answered(request, previewed, form)

    return await guarded(request, context, work)


def _answered(request: Request, survey: Survey, form: Form) -> Response:
    reading = reading_of(survey, form)
    if reading.errors or newly_applicable(reading, form):
        judged = frozenset(reading.shown) if form.shown is None else form.shown
        return survey_page(request, survey, form, reading, judged=judged, preview=True)
    return thanks_page(request, survey, language_of(request, form, survey.languages), preview=True)


async def _previewed(context: Context, survey: str, text: str) -> Survey | None:
    """The survey of a preview's token, None when it has expired. Raises `BadToken`, `NoSuchPage` for a customer's token."""
    token = context.keys.verify(text)
    if (
        token.invitation
        or token.survey != survey
        or context.access.workspace(token.workspace) is None
    ):
        raise NoSuchPage("not a preview of this survey")
    async with context.database.read() as tx:
        if token.expires_at <= await now(tx):
            return None
        found = await surveys.latest_version(tx, token.workspace, survey)
    if found is None:
        raise NoSuchPage("no such survey")
    return read_survey(survey, *found)
