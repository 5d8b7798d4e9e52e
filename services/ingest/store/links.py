"""How things stand with survey links: only the flags, for all links that are asked about, in one statement."""

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

import sqlalchemy as sa

from services.ingest.definitions import SURVEY
from services.ingest.rules.responses import Standing
from services.ingest.tables import definitions, invitations, responses, survey_versions
from shared.db import Prepared, Tx, UtcDateTime, key_rows, key_values


class Link(NamedTuple):
    """What a link leads to, by its names."""

    workspace: str
    invitation: str
    survey: str


class LinkState(NamedTuple):
    """How things stand at a time of the database's clock; `newest` is the version that customers are asked now."""

    at: datetime
    answered: bool
    copy: Standing | None
    newest: int | None


async def link_states(tx: Tx, links: Sequence[Link]) -> dict[Link, LinkState]:
    """The state of each link."""
    dialect = tx.dialect.name
    rows = await _statement(dialect).rows(tx, **key_values(dialect, links))
    return {Link(*row[:3]): _state(*row[3:]) for row in rows}


@lru_cache(maxsize=2)
def _statement(dialect: str) -> Prepared:
    d, i, r, v = definitions.c, invitations.c, responses.c, survey_versions.c
    wanted = key_rows(dialect, (i.workspace, i.id, v.survey))
    workspace, invitation, survey = wanted.c
    asked = (
        d.workspace == workspace,
        d.kind == SURVEY.name,
        d.id == survey,
        d.state == "published",
    )
    versions = (v.workspace == workspace, v.survey == survey, v.state == "published")
    copy = sa.select().where(i.workspace == workspace, i.id == invitation)
    newest = sa.select(v.version).where(*asked, *versions).order_by(v.version.desc()).limit(1)
    # Each says that it is about the row of `wanted`: left to guess, SQLAlchemy takes what is nested to be about any row.
    statement: sa.Select[Any] = sa.select(
        *wanted.c,
        sa.func.now(type_=UtcDateTime),
        sa.exists().where(r.workspace == workspace, r.invitation == invitation).correlate(wanted),
        copy.add_columns(i.document["state"].as_string()).correlate(wanted).scalar_subquery(),
        copy.add_columns(i.document["expires_at"].as_string()).correlate(wanted).scalar_subquery(),
        newest.correlate(wanted).scalar_subquery(),
    )
    return Prepared(statement)


def _state(
    at: datetime, answered: bool, state: str | None, expires_at: str, newest: int | None
) -> LinkState:
    copy = None if state is None else Standing(state, datetime.fromisoformat(expires_at))
    return LinkState(at, bool(answered), copy, newest)
