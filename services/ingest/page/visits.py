"""What a link leads to: the survey to show, or why there is none to answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import msgspec

from services.ingest.context import Context
from services.ingest.page.kept import Kept
from services.ingest.page.together import Together
from services.ingest.rules.questions import Survey, read_survey
from services.ingest.rules.responses import Closed, closed
from services.ingest.store.links import Link, LinkState, link_states
from services.ingest.store.surveys import survey_version
from shared.db import Database
from shared.errors import AfterwordError
from shared.tokens import Token

_MOST_KEPT: Final = 8 * 1024 * 1024


class NoSuchPage(AfterwordError):
    """A link that we signed, but not one of this page; answered like a forged one, yet no guess."""


@dataclass(frozen=True)
class Visit:
    """A link that is ours, as things stand; without a survey there is nothing to show."""

    token: Token
    survey: Survey | None
    answered: bool
    closed: Closed | None


def read_token(context: Context, text: str) -> Token:
    """The token of a customer's link. Raises `BadToken`, `NoSuchPage` for a preview's and for a workspace that is gone."""
    token = context.keys.verify(text)
    if not token.invitation or context.access.workspace(token.workspace) is None:
        raise NoSuchPage("not a link to answer by")
    return token


class Visits:
    """Looks links up, many in one statement, each time anew. A published version never changes, so those are kept
    compiled; which of them is asked now is looked up with the link."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._links = Together(self._look_up)
        self._published = Kept[Survey](_MOST_KEPT)

    async def visit(self, token: Token, version: int | None = None) -> Visit:
        """All that a page of this link needs; writes nothing.

        `version` is the one that the customer was shown; what was never published is not taken from a form.
        """
        link = await self._links.ask(Link(token.workspace, token.invitation, token.survey))
        survey = await self._survey(token, version, link.newest)
        reason = _closed(token, link.at) or closed(link.copy, link.at)
        return Visit(token, survey, link.answered, reason)

    async def _look_up(self, links: Sequence[Link]) -> dict[Link, LinkState]:
        async with self._database.read() as tx:
            return await link_states(tx, links)

    async def _survey(self, token: Token, shown: int | None, newest: int | None) -> Survey | None:
        for version in (shown, newest):
            if version is not None:
                survey = await self._version(token.workspace, token.survey, version)
                if survey is not None:
                    return survey
        return None

    async def _version(self, workspace: str, id: str, version: int) -> Survey | None:
        key = (workspace, id, version)
        survey = self._published.get(key)
        if survey is None:
            async with self._database.read() as tx:
                document = await survey_version(tx, workspace, id, version)
            if document is None or document["state"] != "published":
                return None
            survey = read_survey(id, version, document)
            self._published.put(key, survey, len(msgspec.json.encode(document)))
        return survey


def _closed(token: Token, at: datetime) -> Closed | None:
    return "expired" if token.expires_at <= at else None
