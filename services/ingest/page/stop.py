"""Stop asking me: a page that says what will be done, and does it only when its form is sent."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from services.ingest.context import InContext
from services.ingest.page.answering import guarded, language_of, message
from services.ingest.page.forms import read_form
from services.ingest.page.phrases import PHRASES
from services.ingest.page.rendering import redirect
from services.ingest.page.visits import read_token
from services.ingest.store import stops

router = APIRouter(include_in_schema=False)


@router.api_route("/s/{token}/stop", methods=["GET", "HEAD"])
async def confirm(token: str, request: Request, context: InContext) -> Response:
    """What will be done, or that it is done. An expired link stops as well as a fresh one."""

    async def work() -> Response:
        ours = read_token(context, token)
        language = language_of(request)
        async with context.database.read() as tx:
            done = await stops.is_stopped(tx, ours.workspace, ours.invitation)
        if done:
            return message("stop_done", request, language)
        say = PHRASES[language]
        repost = {
            "action": request.url.path,
            "fields": [("_lang", language)],
            "button": say["stop_button"],
        }
        back = {"href": f"/s/{token}?lang={language}", "text": say["stop_back"]}
        return message("stop", request, language, repost=repost, back=back)

    return await guarded(request, context, work)


@router.post("/s/{token}/stop")
async def stop(token: str, request: Request, context: InContext) -> Response:
    """Do it. Also takes the one-click POST of a mail program."""

    async def work() -> Response:
        ours = read_token(context, token)
        form = read_form(await request.body())
        async with context.database.begin() as tx:
            await stops.stop_by_invitation(tx, ours.workspace, ours.invitation)
        return redirect(f"{request.url.path}?lang={language_of(request, form)}")

    return await guarded(request, context, work)
