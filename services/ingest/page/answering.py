"""What every page route shares: the language, the pages without a form, and how a failure reads to a customer."""

import math
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from services.ingest.context import Context
from services.ingest.guesses import address_of
from services.ingest.instruments import WRONG_TOKENS
from services.ingest.page import rendering
from services.ingest.page.forms import Form, Unreadable, read_form
from services.ingest.page.languages import choose, words
from services.ingest.page.phrases import PHRASES
from services.ingest.page.visits import NoSuchPage
from services.ingest.rules.questions import LANGUAGES, Survey
from shared.errors import Unavailable
from shared.telemetry import log
from shared.tokens import BadToken

_SIGNS = {
    "thanks": "✓",
    "stop_done": "✓",
    "expired": "–",
    "stopped": "–",
    "away": "…",
    "missing": "?",
    "limited": "…",
    "unreadable": "?",
}
_STATUS = {
    "missing": 404,
    "expired": 410,
    "stopped": 410,
    "away": 503,
    "unreadable": 400,
    "limited": 429,
}


def language_of(
    request: Request, form: Form | None = None, offered: Sequence[str] = LANGUAGES
) -> str:
    """The form's language, else the switch's, else the browser's."""
    wanted = (form.language if form else "") or request.query_params.get("lang")
    return choose(wanted, request.headers.get("accept-language"), offered)


def message(name: str, request: Request, language: str, **values: Any) -> Response:
    """A page that says one thing; `name` picks its words and its status."""
    say = PHRASES[language]
    standard = {
        "title": say[f"{name}_title"],
        "text": say[f"{name}_text"],
        "sign": _SIGNS.get(name, ""),
    }
    return rendering.answer("message.html", language, _STATUS.get(name, 200), **(standard | values))


def thanks_page(request: Request, survey: Survey, language: str, **values: Any) -> Response:
    """Thanks in the survey's own words, if it has some."""
    own = {"text": words(survey.thanks, language).text} if survey.thanks else {}
    return message("thanks", request, language, **own, **values)


async def guarded(
    request: Request, context: Context, work: Callable[[], Awaitable[Response]]
) -> Response:
    """Do it; what cannot be done becomes a page. An answer that could not be stored stays in the page."""
    try:
        return await work()
    except BadToken:
        return _wrong_link(request, context)
    except NoSuchPage:
        return message("missing", request, language_of(request))
    except Unreadable:
        return message("unreadable", request, language_of(request))
    except Unavailable as error:
        log.warning("page_unavailable", reason=str(error))
        return await _away(request)


def _wrong_link(request: Request, context: Context) -> Response:
    """That there is nothing here; to an address that tries too many, that it must wait."""
    address = address_of(request.client.host if request.client else None)
    wait = context.guesses.wait_seconds(address, time.monotonic())
    WRONG_TOKENS.labels("limited" if wait else "missing").inc()
    if not wait:
        return message("missing", request, language_of(request))
    answer = message("limited", request, language_of(request))
    answer.headers["Retry-After"] = str(math.ceil(wait))
    return answer


async def _away(request: Request) -> Response:
    if request.method != "POST":
        return message("away", request, language_of(request))
    form = read_form(await request.body())
    language = language_of(request, form)
    say = PHRASES[language]
    fields = [(name, value) for name, values in form.fields.items() for value in values]
    repost = {"action": action_of(request), "fields": fields, "button": say["again"]}
    return message("away", request, language, text=say["away_kept"], repost=repost)


def action_of(request: Request) -> str:
    """Where the form goes: back to its own path, which as that of a right link holds nothing to be quoted, and the
    token of a preview included."""
    token = request.query_params.get("token")
    if token is None:
        path: str = request.scope["path"]
        return path
    return str(request.url.include_query_params(token=token).replace(scheme="", netloc=""))
