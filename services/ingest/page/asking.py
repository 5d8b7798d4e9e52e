"""The survey as a page: the first time from a sheet that is kept, and again with what was typed."""

from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from services.ingest.page.answering import action_of, language_of
from services.ingest.page.forms import Form, preselected
from services.ingest.page.kept import Kept
from services.ingest.page.rendering import Sheet, blank, filled, sheet, switch
from services.ingest.page.views import reading_of, survey_view
from services.ingest.rules.answers import Reading
from services.ingest.rules.questions import Survey


def first_page(
    request: Request, workspace: str, survey: Survey, sheets: Kept[Sheet], stop: str
) -> Response:
    """The survey as a link opens it. Its sheet depends on the version, which never changes, on the language and on
    what `?answer=` preselects."""
    form = preselected(survey, request.query_params.get("answer"))
    language = language_of(request, form, survey.languages)
    key = (workspace, survey.id, survey.version, language, *form.fields.items())
    made = sheets.get(key)
    if made is None:
        view = survey_view(survey, form, reading_of(survey, form), frozenset(), language)
        made = _sheet(survey, view, language, switched=True, stopping=True)
        sheets.put(key, made, made.size)
    return _with_link(request, survey, made, stop)


def survey_page(
    request: Request,
    survey: Survey,
    form: Form,
    reading: Reading,
    *,
    judged: frozenset[str] = frozenset(),
    stop: str = "",
    preview: bool = False,
) -> Response:
    """The survey with what was typed; 422 when a judged answer is wrong. The language can be switched where nothing
    that was typed is lost by it."""
    language = language_of(request, form, survey.languages)
    view = survey_view(survey, form, reading, judged, language)
    unsent = request.method != "POST"
    made = _sheet(survey, view, language, switched=unsent, stopping=bool(stop), preview=preview)
    return _with_link(request, survey, made, stop)


def _sheet(
    survey: Survey,
    view: dict[str, Any],
    language: str,
    *,
    switched: bool,
    stopping: bool,
    preview: bool = False,
) -> Sheet:
    return sheet(
        "survey.html",
        language,
        422 if view["errors"] else 200,
        action=blank("action"),
        switch=switch(survey.languages, language) if switched else (),
        stop_href=blank("stop") if stopping else None,
        preview=preview,
        **view,
    )


def _with_link(request: Request, survey: Survey, made: Sheet, stop: str) -> Response:
    """The sheet with what its link and its address put into it; switching the language keeps what the address said."""
    said = [
        (name, value)
        for name, value in request.query_params.multi_items()
        if name in ("answer", "token")
    ]
    kept = f"{urlencode(said)}&" if said else ""
    switched = {f"lang_{other}": f"?{kept}lang={other}" for other in survey.languages}
    stop_href = f"{stop}?lang={made.language}"
    return filled(made, action=action_of(request), stop=stop_href, **switched)
