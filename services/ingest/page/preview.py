"""A survey as it will look, drafts included: by a short-lived signed link, and never storing anything."""

from starlette.requests import Request
from starlette.responses import Response

from services.ingest.context import Context
from services.ingest.page.answering import language_of, message, thanks_page
from services.ingest.page.asking import survey_page
from services.ingest.page.forms import Form, preselected, read_form
from services.ingest.page.pages import Pages
from services.ingest.page.views import newly_applicable, reading_of
from services.ingest.page.visits import NoSuchPage
from services.ingest.rules.questions import Survey, read_survey
from services.ingest.store import surveys
from shared.db import now


async def show(pages: Pages, request: Request) -> Response:
    """The latest version, whatever its state."""
    previewed = await _previewed(pages.context, request)
    if previewed is None:
        return message("expired", request, language_of(request))
    form = preselected(previewed, request.query_params.get("answer"))
    return survey_page(request, previewed, form, reading_of(previewed, form), preview=True)


async def answer(pages: Pages, request: Request) -> Response:
    """The same questions and errors that a customer would see; the end stores nothing."""
    form = read_form(await request.body())
    previewed = await _previewed(pages.context, request)
    if previewed is None:
        return message("expired", request, language_of(request, form))
    return _answered(request, previewed, form)


def _answered(request: Request, survey: Survey, form: Form) -> Response:
    reading = reading_of(survey, form)
    if reading.errors or newly_applicable(reading, form):
        judged = frozenset(reading.shown) if form.shown is None else form.shown
        return survey_page(request, survey, form, reading, judged=judged, preview=True)
    return thanks_page(request, survey, language_of(request, form, survey.languages), preview=True)


async def _previewed(context: Context, request: Request) -> Survey | None:
    """The survey of a preview's token, None when it has expired. Raises `BadToken`, `NoSuchPage` for a customer's token."""
    survey = request.path_params["survey"]
    token = context.keys.verify(request.query_params.get("token", ""))
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
