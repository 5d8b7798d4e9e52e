"""In which language the page speaks: asked for by the switch, else by the browser, among what the survey offers."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

_MAX_HEADER = 500
NAMES = {"en": "English", "zh": "中文"}
HTML = {"en": "en", "zh": "zh-CN"}
"""The `lang` attribute, by which browsers choose fonts and screen readers voices."""


class Words(NamedTuple):
    """A text and the language it is in, which need not be the page's."""

    text: str
    language: str


def choose(wanted: str | None, accept: str | None, offered: Sequence[str]) -> str:
    """The wanted language, else the browser's first that is offered, else the first offered."""
    if wanted in offered:
        return str(wanted)
    return next(
        (language for language in _accepted(accept or "") if language in offered), offered[0]
    )


def _accepted(header: str) -> list[str]:
    """The primary languages of an Accept-Language header, the preferred first."""
    weighted = []
    for part in header[:_MAX_HEADER].split(","):
        language, _, parameter = part.strip().partition(";")
        weight = _weight(parameter)
        if weight > 0:
            weighted.append((-weight, language.partition("-")[0].lower()))
    return [language for _, language in sorted(weighted, key=lambda item: item[0])]


def _weight(parameter: str) -> float:
    name, _, value = parameter.strip().partition("=")
    if name != "q":
        return 1.0
    try:
        return float(value)
    except ValueError:
        return 0.0


def words(texts: Mapping[str, str], language: str) -> Words:
    """The text in this language, else in English, else in any."""
    for wanted in (language, "en"):
        for written, text in texts.items():
            if written == wanted or written.partition("-")[0] == wanted:
                return Words(text, HTML.get(written, written))
    return next(
        (Words(text, written) for written, text in texts.items()), Words("", HTML[language])
    )
