"""What a link leads to: the survey to show, or why there is none to answer."""

from dataclasses import dataclass
from datetime import datetime

from services.ingest.context import Context
from services.ingest.rules.questions import Survey, read_survey
from services.ingest.rules.responses import Closed, closed
from services.ingest.store import invitations, responses, surveys
from shared.db import Tx, now
from shared.errors import AfterwordError
from shared.tokens import Token


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


async def visit(tx: Tx, token: Token, *, version: int | None) -> Visit:
    """Look up all that a page of this link needs; writes nothing.

    `version` is the one that the customer was shown; what was never published is not taken from a form.
    """
    at = await now(tx)
    answered = await responses.answer_of(tx, token.workspace, token.invitation) is not None
    copy = await invitations.get_invitation(tx, token.workspace, token.invitation)
    survey = await _survey(tx, token, version)
    return Visit(token, survey, answered, _closed(token, at) or closed(copy, at))


async def _survey(tx: Tx, token: Token, version: int | None) -> Survey | None:
    if version is not None:
        document = await surveys.survey_version(tx, token.workspace, token.survey, version)
        if document is not None and document["state"] == "published":
            return read_survey(token.survey, version, document)
    found = await surveys.published_survey(tx, token.workspace, token.survey)
    return read_survey(token.survey, *found) if found else None


def _closed(token: Token, at: datetime) -> Closed | None:
    return "expired" if token.expires_at <= at else None
