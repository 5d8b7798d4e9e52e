"""Versions of surveys: what was published, what is a draft, and what an answer was given to."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from services.ingest.definitions import SURVEY
from services.ingest.rules.versions import Newest
from services.ingest.tables import definitions, survey_versions
from shared.db import Tx, insert, load


class Version(NamedTuple):
    """One version of a survey, with its document as it was put."""

    version: int
    document: dict[str, Any]
    state: str
    changed_at: datetime
    changed_by: str


_v = survey_versions
_FIELDS = (_v.c.version, _v.c.document, _v.c.state, _v.c.changed_at, _v.c.changed_by)


async def published_survey(tx: Tx, workspace: str, id: str) -> tuple[int, dict[str, Any]] | None:
    """The version and document that customers are asked now; None without one, or once it is deleted."""
    d = definitions
    published = sa.exists().where(
        d.c.workspace == workspace, d.c.kind == SURVEY.name, d.c.id == id, d.c.state == "published"
    )
    where = (_v.c.workspace == workspace, _v.c.survey == id, _v.c.state == "published", published)
    return await _newest(tx, *where)


async def latest_version(tx: Tx, workspace: str, id: str) -> tuple[int, dict[str, Any]] | None:
    """The newest version, be it a draft: what a preview shows."""
    return await _newest(tx, _v.c.workspace == workspace, _v.c.survey == id)


async def survey_version(tx: Tx, workspace: str, id: str, version: int) -> dict[str, Any] | None:
    """The document of one version, also of a survey that was deleted since."""
    rows = await load(
        tx, [_v.c.document], [_v.c.workspace, _v.c.survey, _v.c.version], [(workspace, id, version)]
    )
    return rows[0].document if rows else None


async def list_versions(
    tx: Tx, workspace: str, id: str, *, before: int | None, limit: int
) -> list[Version]:
    """Versions, newest first, below `before`."""
    statement = sa.select(*_FIELDS).where(_v.c.workspace == workspace, _v.c.survey == id)
    if before is not None:
        statement = statement.where(_v.c.version < before)
    found = await tx.execute(statement.order_by(_v.c.version.desc()).limit(limit))
    return [Version(*row) for row in found]


async def newest_versions(tx: Tx, workspace: str, ids: Sequence[str]) -> list[Newest]:
    """The newest draft and the newest published version of each survey."""
    found = await tx.execute(
        sa.select(_v.c.survey, _v.c.state, sa.func.max(_v.c.version))
        .where(_v.c.workspace == workspace, _v.c.survey.in_(ids))
        .group_by(_v.c.survey, _v.c.state)
    )
    keys = [(workspace, survey, version) for survey, _, version in found]
    columns = (_v.c.survey, _v.c.state, _v.c.version, _v.c.document)
    rows = await load(tx, columns, [_v.c.workspace, _v.c.survey, _v.c.version], keys)
    return [Newest(row.survey, row.state, row.version, row.document) for row in rows]


async def save_versions(
    tx: Tx, workspace: str, versions: Sequence[Newest], *, by: str, at: datetime
) -> None:
    """Store new versions; the caller has locked the surveys' definitions, so that numbers are free."""
    rows = [
        {
            "workspace": workspace,
            "survey": each.survey,
            "version": each.version,
            "state": each.state,
            "document": each.document,
            "changed_at": at,
            "changed_by": by,
        }
        for each in versions
    ]
    await insert(tx, survey_versions, rows)


async def _newest(
    tx: Tx, *where: sa.ColumnElement[bool] | sa.Exists
) -> tuple[int, dict[str, Any]] | None:
    statement = sa.select(_v.c.version, _v.c.document).where(*where)
    row = (await tx.execute(statement.order_by(_v.c.version.desc()).limit(1))).first()
    return (row.version, row.document) if row else None
