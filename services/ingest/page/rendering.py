"""Turns a template into an answer: one nonce per page, and headers that let the page do nothing but post its form."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
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
_CUT: Final = secrets.token_urlsafe(32)
"""Where a page is cut for its blanks. Nobody outside this process has seen it, so nobody can have typed it."""


@dataclass(frozen=True)
class Sheet:
    """A page but for its blanks: what differs from one link, or from one opening of it, to the next.

    `parts` are texts and names of blanks by turns.
    """

    parts: tuple[str, ...]
    status: int
    language: str

    @property
    def size(self) -> int:
        return sum(map(len, self.parts))


def blank(name: str) -> Markup:
    """What a template shows where `filled` puts the value of this name."""
    return Markup(f"{_CUT}{name}{_CUT}")  # noqa: S704 - our own names, never what was typed


def sheet(template: str, language: str, status: int = 200, **values: Any) -> Sheet:
    """The page as a sheet, with the blank `nonce` and those that are among the values."""
    shown = {
        **_STANDARD,
        "nonce": blank("nonce"),
        "language": language,
        "html_language": HTML[language],
        "say": PHRASES[language],
        **values,
    }
    page = _templates().get_template(template).render(shown)
    return Sheet(tuple(page.split(_CUT)), status, language)


def filled(sheet: Sheet, **values: str) -> HTMLResponse:
    """The answer with a value in each blank."""
    nonce = secrets.token_urlsafe(16)
    escaped = {name: escape(value) for name, value in values.items()} | {"nonce": nonce}
    parts = list(sheet.parts)
    parts[1::2] = [escaped[name] for name in parts[1::2]]
    headers = _headers(nonce) | _extra(sheet.status, sheet.language)
    return HTMLResponse("".join(parts), sheet.status, headers=headers)


def answer(template: str, language: str, status: int = 200, **values: Any) -> HTMLResponse:
    """A page that is shown once."""
    return filled(sheet(template, language, status, **values))


def switch(offered: Sequence[str], language: str) -> list[dict[str, Any]]:
    """The switch of languages, whose addresses are the blanks `lang_` and the language."""
    if len(offered) < 2:
        return []
    return [
        {
            "name": NAMES[other],
            "html": HTML[other],
            "current": other == language,
            "href": blank(f"lang_{other}"),
        }
        for other in offered
    ]


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


@lru_cache(maxsize=1)
def _templates() -> Environment:
    return Environment(
        loader=PackageLoader("services.ingest"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
