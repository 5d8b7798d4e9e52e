"""What ingest adds to the routes of definitions: versions of surveys, and units that form a tree."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path
from pydantic import BaseModel

from services.ingest.context import InContext
from services.ingest.definitions import KINDS, SURVEY, UNIT
from services.ingest.rules.versions import next_versions, shown_versions
from services.ingest.store import surveys as store
from services.ingest.store import units
from services.ingest.tables import definitions, outbox
from shared.db import Database, Tx, load
from shared.definitions import Definition, Reference
from shared.definitions.api import Context, Reader, Writing
from shared.definitions.documents import Change
from shared.http.pages import Cursor, Limit, Page, decode_cursor, following
from shared.http.problems import invalid, not_found

router = APIRouter(tags=["definitions"])


class VersionJson(BaseModel):
    """One version of a survey."""

    version: int
    state: str
    changed_at: datetime
    changed_by: str


def definition_context(database: Callable[[], Database]) -> Context:
    """How the definitions of this service are stored and shown."""
    return Context(
        "ingest", database, definitions, outbox, KINDS, unresolved=unresolved, put=put, shown=shown
    )


@router.get("/v1/surveys/{id}/versions")
async def survey_versions(
    id: str, principal: Reader, context: InContext, limit: Limit = 100, cursor: Cursor = None
) -> Page[VersionJson]:
    """The versions of a survey, newest first; those of a deleted one too."""
    before = decode_cursor(cursor, int)
    async with context.database.read() as tx:
        found = await store.list_versions(
            tx, principal.workspace, id, before=before[0] if before else None, limit=limit + 1
        )
    if not found and before is None:
        raise not_found("survey", id)
    items = [VersionJson.model_validate(each, from_attributes=True) for each in found[:limit]]
    return Page(items=items, next=following(found, limit, "version"))


@router.get("/v1/surveys/{id}/versions/{version}")
async def survey_version(
    id: str,
    version: Annotated[int, Path(ge=1, le=2**31 - 1)],
    principal: Reader,
    context: InContext,
) -> dict[str, Any]:
    """The document of one version."""
    async with context.database.read() as tx:
        document = await store.survey_version(tx, principal.workspace, id, version)
    if document is None:
        raise not_found("version of the survey", f"{id}/{version}")
    return {"kind": SURVEY.name, "id": id, "version": version, **document}


async def unresolved(tx: Tx, workspace: str, references: Sequence[Reference]) -> list[Reference]:
    """The references to units that do not exist."""
    keys = sorted({(workspace, each.kind, each.id) for each in references})
    by = [definitions.c.workspace, definitions.c.kind, definitions.c.id]
    rows = await load(tx, [*by, definitions.c.state], by, keys)
    known = {(row.kind, row.id) for row in rows if row.state != "deleted"}
    return [each for each in references if (each.kind, each.id) not in known]


async def put(tx: Tx, writing: Writing) -> list[Change]:
    """Store the surveys' new versions, and refuse units that would be among their own ancestors."""
    await _refuse_circles(tx, writing)
    return await _store_versions(tx, writing)


async def _refuse_circles(tx: Tx, writing: Writing) -> None:
    changed = [wish for wish in writing.wishes if wish.kind is UNIT and wish.document.get("parent")]
    if not changed:
        return
    tree = await units.tree_above(tx, writing.workspace, [wish.id for wish in changed])
    circles = [
        wish.error(
            "parent",
            f"unit {wish.id!r} is below itself or too deep",
            "a parent that is not below it",
        )
        for wish in changed
        if tree.circle(wish.id)
    ]
    if circles:
        raise invalid(circles)


async def _store_versions(tx: Tx, writing: Writing) -> list[Change]:
    documents = {wish.id: wish.document for wish in writing.wishes if wish.kind is SURVEY}
    if not documents:
        return list(writing.changes)
    newest = await store.newest_versions(tx, writing.workspace, sorted(documents))
    made = next_versions(documents, newest)
    await store.save_versions(tx, writing.workspace, made, by=writing.by, at=writing.at)
    drafts = {each.survey for each in made if each.state == "draft"}
    return [
        replace(change, action="update")
        if change.kind == SURVEY.name and change.action == "unchanged" and change.id in drafts
        else change
        for change in writing.changes
    ]


async def shown(
    tx: Tx, workspace: str, found: Sequence[Definition]
) -> Mapping[str, Mapping[str, Any]]:
    """Of a survey, the version that is shown and the draft that is newer."""
    if found[0].kind != SURVEY.name:
        return {}
    newest = await store.newest_versions(tx, workspace, [each.id for each in found])
    return {each.id: shown_versions(each.id, each.state, newest) for each in found}
