"""The routes of the survey page: show it, take its form, thank; the QR code of its link."""

from io import BytesIO

import segno
from fastapi import APIRouter, Request
from starlette.responses import Response
from uuid_utils import uuid7

from services.ingest.context import Context, InContext
from services.ingest.page import preview, stop
from services.ingest.page.answering import guarded, language_of, message, survey_page, thanks_page
from services.ingest.page.forms import Form, preselected, read_form
from services.ingest.page.rendering import picture, redirect
from services.ingest.page.views import newly_applicable, reading_of
from services.ingest.page.visits import Visit, read_token, visit
from services.ingest.rules.answers import Reading
from services.ingest.rules.responses import Answered
from services.ingest.store import responses
from shared.telemetry import RESPONSES
from shared.tokens import Token

SHOW = ["GET", "HEAD"]
BY = "survey-page"

router = APIRouter(include_in_schema=False)
router.include_router(
    preview.router
)  # first: its path would fit the others, with `preview` as the token
router.include_router(stop.router)


@router.api_route("/s/{token}", methods=SHOW)
async def show(token: str, request: Request, context: InContext) -> Response:
    """The survey, or why there is none to answer. Changes nothing: mail scanners open every link."""

    async def work() -> Response:
        found = await _visit(context, read_token(context, token))
        if found.survey is None or found.answered or found.closed:
            return _unanswerable(request, found)
        form = preselected(found.survey, request.query_params.get("answer"))
        reading = reading_of(found.survey, form)
        return survey_page(request, found.survey, form, reading, stop=f"/s/{token}/stop")

    return await guarded(request, context, work)


@router.post("/s/{token}")
async def answer(token: str, request: Request, context: InContext) -> Response:
    """Take the answer, once; ask again where something is wrong or where an answer opened another question."""

    async def work() -> Response:
        ours = read_token(context, token)
        form = read_form(await request.body())
        found = await _visit(context, ours, form.version)
        if found.survey is None or found.answered or found.closed:
            return _unanswerable(request, found, form)
        reading = reading_of(found.survey, form)
        if reading.errors or newly_applicable(reading, form):
            judged = frozenset(reading.shown) if form.shown is None else form.shown
            return survey_page(
                request, found.survey, form, reading, judged=judged, stop=f"/s/{token}/stop"
            )
        language = language_of(request, form, found.survey.languages)
        return await _take(context, request, ours, found.survey.version, reading, language)

    return await guarded(request, context, work)


@router.api_route("/s/{token}/thanks", methods=SHOW)
async def thanks(token: str, request: Request, context: InContext) -> Response:
    """Where the form leads to."""

    async def work() -> Response:
        found = await _visit(context, read_token(context, token))
        return _thanked(request, found) if found.answered else redirect(f"/s/{token}")

    return await guarded(request, context, work)


@router.api_route("/s/{token}/qr.svg", methods=SHOW)
async def qr_code(token: str, request: Request, context: InContext) -> Response:
    """The link as a QR code, e.g. for a receipt."""

    async def work() -> Response:
        read_token(context, token)
        drawn = BytesIO()
        link = f"{context.settings.public_url.rstrip('/')}/s/{token}"
        segno.make(link, error="m", micro=False).save(
            drawn, kind="svg", scale=4, border=4, light="white"
        )
        return picture(drawn.getvalue())

    return await guarded(request, context, work)


async def _visit(context: Context, token: Token, version: int | None = None) -> Visit:
    async with context.database.read() as tx:
        return await visit(tx, token, version=version)


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
