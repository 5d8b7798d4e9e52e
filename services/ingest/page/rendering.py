"""Turns a template into an answer: one nonce per page, and headers that let the page do nothing but post its form."""

import secrets
from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from services.ingest.page.languages import HTML, NAMES
from services.ingest.page.phrases import PHRASES

RETRY_AFTER_SECONDS = 5
_HEADERS = {
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "X-Robots-Tag": "noindex",
}
_STANDARD: Mapping[str, Any] = {
    "switch": (),
    "preview": False,
    "stop_href": None,
    "repost": None,
    "back": None,
    "sign": "",
    "text": "",
}


def answer(
    template: str,
    language: str,
    status: int = 200,
    *,
    request: Request | None = None,
    offered: tuple[str, ...] = (),
    **values: Any,
) -> HTMLResponse:
    """The page. `request` and `offered` make the switch of languages, which keeps the path and loses nothing else."""
    nonce = secrets.token_urlsafe(16)
    shown = {
        **_STANDARD,
        "nonce": nonce,
        "language": language,
        "html_language": HTML[language],
        "say": PHRASES[language],
        "switch": _switch(request, offered, language) if request is not None else (),
        **values,
    }
    page = _templates().get_template(template).render(shown)
    return HTMLResponse(page, status, headers=_headers(nonce) | _extra(status, language))


def redirect(path: str) -> Response:
    """To another page after a form was taken: going back or reloading does not send it again."""
    return RedirectResponse(path, 303, headers=_HEADERS)


def picture(svg: bytes) -> Response:
    """An SVG that can run and load nothing."""
    return Response(svg, media_type="image/svg+xml", headers=_headers(secrets.token_urlsafe(16)))


def _headers(nonce: str) -> dict[str, str]:
    policy = f"default-src 'none'; style-src 'nonce-{nonce}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    return {**_HEADERS, "Content-Security-Policy": policy}


def _extra(status: int, language: str) -> dict[str, str]:
    headers = {"Content-Language": HTML[language], "Vary": "Accept-Language"}
    return headers | ({"Retry-After": str(RETRY_AFTER_SECONDS)} if status == 503 else {})


def _switch(request: Request, offered: tuple[str, ...], language: str) -> list[dict[str, Any]]:
    if len(offered) < 2:
        return []
    kept = [
        (name, value)
        for name, value in request.query_params.multi_items()
        if name in ("answer", "token")
    ]
    return [
        {
            "name": NAMES[other],
            "html": HTML[other],
            "current": other == language,
            "href": "?" + urlencode([*kept, ("lang", other)]),
        }
        for other in offered
    ]


@lru_cache(maxsize=1)
def _templates() -> Environment:
    return Environment(
        loader=PackageLoader("services.ingest"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
