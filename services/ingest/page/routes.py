"""The routes of the survey page: show it, take its form, thank; the QR code of its link."""

from io import BytesIO
from typing import Final

import segno
from starlette.requests import Request
from starlette.responses import Response
from uuid_utils import uuid7

from services.ingest.context import Context
from services.ingest.instruments import RESPONSES
from services.ingest.page import preview, stop
from services.ingest.page.answering import language_of, message, thanks_page
from services.ingest.page.asking import first_page, survey_page
from services.ingest.page.forms import Form, read_form
from services.ingest.page.kept import Kept
from services.ingest.page.pages import PageRoute, Pages, Work
from services.ingest.page.rendering import picture, redirect
from services.ingest.page.views import newly_applicable, reading_of
from services.ingest.page.visits import Visit, Visits, read_token
from services.ingest.rules.answers import Reading
from services.ingest.rules.responses import Answered
from services.ingest.store import responses
from shared.tokens import Token

BY: Final = "survey-page"
_SHOW: Final = ("GET", "HEAD")
_SEND: Final = ("POST",)
_MOST_KEPT: Final = 16 * 1024 * 1024


def page_routes(context: Context) -> list[PageRoute]:
    """All routes of the page, in the order in which they are to be tried."""
    pages = Pages(context, Visits(context.database), Kept(_MOST_KEPT))
    # A preview's path would fit those below it as well, with `preview` as the token.
    table: list[tuple[str, tuple[str, ...], Work]] = [
        ("/s/{token}", _SHOW, show),
        ("/s/{token}", _SEND, answer),
        ("/s/preview/{survey}", _SHOW, preview.show),
        ("/s/preview/{survey}", _SEND, preview.answer),
        ("/s/{token}/thanks", _SHOW, thanks),
        ("/s/{token}/stop", _SHOW, stop.confirm),
        ("/s/{token}/stop", _SEND, stop.stop),
        ("/s/{token}/qr.svg", _SHOW, qr_code),
    ]
    return [PageRoute(path, methods, work, pages) for path, methods, work in table]


async def show(pages: Pages, request: Request) -> Response:
    """The survey, or why there is none to answer. Changes nothing: mail scanners open every link."""
    text = request.path_params["token"]
    found = await pages.visits.visit(read_token(pages.context, text))
    if found.survey is None or found.answered or found.closed:
        return _unanswerable(request, found)
    workspace = found.token.workspace
    return first_page(request, workspace, found.survey, pages.sheets, f"/s/{text}/stop")


async def answer(pages: Pages, request: Request) -> Response:
    """Take the answer, once; ask again where something is wrong or where an answer opened another question."""
    text = request.path_params["token"]
    ours = read_token(pages.context, text)
    form = read_form(await request.body())
    found = await pages.visits.visit(ours, form.version)
    if found.survey is None or found.answered or found.closed:
        return _unanswerable(request, found, form)
    reading = reading_of(found.survey, form)
    if reading.errors or newly_applicable(reading, form):
        judged = frozenset(reading.shown) if form.shown is None else form.shown
        return survey_page(
            request, found.survey, form, reading, judged=judged, stop=f"/s/{text}/stop"
        )
    language = language_of(request, form, found.survey.languages)
    return await _take(pages.context, request, ours, found.survey.version, reading, language)


async def thanks(pages: Pages, request: Request) -> Response:
    """Where the form leads to."""
    text = request.path_params["token"]
    found = await pages.visits.visit(read_token(pages.context, text))
    return _thanked(request, found) if found.answered else redirect(f"/s/{text}")


async def qr_code(pages: Pages, request: Request) -> Response:
    """The link as a QR code, e.g. for a receipt."""
    text = request.path_params["token"]
    read_token(pages.context, text)
    drawn = BytesIO()
    link = f"{pages.context.settings.public_url.rstrip('/')}/s/{text}"
    segno.make(link, error="m", micro=False).save(
        drawn, kind="svg", scale=4, border=4, light="white"
    )
    return picture(drawn.getvalue())


async def _take(
    context: Context, request: Request, token: Token, version: int, reading: Reading, language: str
) -> Response:
    workspace = context.access.workspace(token.workspace)
    answered = Answered(
        workspace=token.workspace,
        id=str(uuid7()),
        survey=token.survey,
        survey_version=version,
        invitation=token.invitation,
        locale=language,
        answers=reading.answers,
        submitted_at=None,
        by=BY,
    )
    async with context.database.begin() as tx:
        zone = workspace.time_zone if workspace else "UTC"
        outcome = await responses.submit(tx, answered, own=None, time_zone=zone)
    if outcome.closed:
        return message(outcome.closed, request, language)
    if outcome.fresh:
        RESPONSES.labels("page").inc()
    return redirect(f"{request.url.path}/thanks?lang={language}")


def _unanswerable(request: Request, found: Visit, form: Form | None = None) -> Response:
    language = language_of(request, form, found.survey.languages if found.survey else ("en", "zh"))
    if found.answered:
        if request.method == "POST":
            return redirect(f"{request.url.path}/thanks?lang={language}")
        return _thanked(request, found)
    return message(found.closed or "missing", request, language)


def _thanked(request: Request, found: Visit) -> Response:
    if found.survey is None:
        return message("thanks", request, language_of(request))
    return thanks_page(request, found.survey, language_of(request, None, found.survey.languages))
