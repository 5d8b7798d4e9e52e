"""What the functions of the page share, and how each becomes a route."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import Scope

from services.ingest.context import Context
from services.ingest.page.answering import guarded
from services.ingest.page.kept import Kept
from services.ingest.page.rendering import Sheet
from services.ingest.page.visits import Visits


@dataclass(frozen=True)
class Pages:
    """What they reach, for as long as the service is open."""

    context: Context
    visits: Visits
    sheets: Kept[Sheet]


Work = Callable[[Pages, Request], Awaitable[Response]]


class PageRoute(Route):
    """A route of Starlette's: what FastAPI does before it calls a function would cost more than the page."""

    def __init__(self, path: str, methods: Sequence[str], work: Work, pages: Pages) -> None:
        async def answer(request: Request) -> Response:
            return await guarded(request, pages.context, partial(work, pages, request))

        super().__init__(path, answer, methods=methods, include_in_schema=False)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """As Starlette does, and tells the metrics which route it was, as FastAPI does."""
        match, found = super().matches(scope)
        return match, {**found, "route": self} if found else found
