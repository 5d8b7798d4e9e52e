"""Stop asking me: a page that says what will be done, and does it only when its form is sent."""

from starlette.requests import Request
from starlette.responses import Response

from services.ingest.page.answering import language_of, message
from services.ingest.page.forms import read_form
from services.ingest.page.pages import Pages
from services.ingest.page.phrases import PHRASES
from services.ingest.page.rendering import redirect
from services.ingest.page.visits import read_token
from services.ingest.store import stops


async def confirm(pages: Pages, request: Request) -> Response:
    """What will be done, or that it is done. An expired link stops as well as a fresh one."""
    text = request.path_params["token"]
    ours = read_token(pages.context, text)
    language = language_of(request)
    async with pages.context.database.read() as tx:
        done = await stops.is_stopped(tx, ours.workspace, ours.invitation)
    if done:
        return message("stop_done", request, language)
    say = PHRASES[language]
    repost = {
        "action": request.url.path,
        "fields": [("_lang", language)],
        "button": say["stop_button"],
    }
    back = {"href": f"/s/{text}?lang={language}", "text": say["stop_back"]}
    return message("stop", request, language, repost=repost, back=back)


async def stop(pages: Pages, request: Request) -> Response:
    """Do it. Also takes the one-click POST of a mail program."""
    ours = read_token(pages.context, request.path_params["token"])
    form = read_form(await request.body())
    async with pages.context.database.begin() as tx:
        await stops.stop_by_invitation(tx, ours.workspace, ours.invitation)
    return redirect(f"{request.url.path}?lang={language_of(request, form)}")
