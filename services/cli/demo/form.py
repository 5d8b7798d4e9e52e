"""Fills in the survey page as a browser without JavaScript does: what the page hides, what the customer types."""

from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urljoin


@dataclass(frozen=True)
class Page:
    """The form of a page: where it goes, its hidden fields, and the names that a customer can fill in."""

    action: str
    hidden: tuple[tuple[str, str], ...]
    names: frozenset[str]

    def filled(self, answers: dict[str, str]) -> list[tuple[str, str]]:
        """What is sent when the customer answers; what the page does not ask is not sent."""
        return [
            *self.hidden,
            *((name, text) for name, text in answers.items() if name in self.names),
        ]


def read_form(html: str, url: str) -> Page | None:
    """The first form that is sent with POST; None for a page without one."""
    parser = _Parser()
    parser.feed(html)
    if parser.action is None:
        return None
    return Page(urljoin(url, parser.action or url), tuple(parser.hidden), frozenset(parser.names))


@dataclass
class _Parser(HTMLParser):
    action: str | None = None
    hidden: list[tuple[str, str]] = field(default_factory=list)
    names: set[str] = field(default_factory=set)
    _inside: bool = False

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form" and self.action is None and given.get("method", "").lower() == "post":
            self.action = given.get("action", "")
            self._inside = True
        elif self._inside and tag in ("input", "textarea", "select") and "name" in given:
            if given.get("type") == "hidden":
                self.hidden.append((given["name"], given.get("value", "")))
            else:
                self.names.add(given["name"])

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._inside = False
