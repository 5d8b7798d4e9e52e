"""The routes of definitions, the same for every kind: PUT, GET, list, DELETE, and apply all or nothing."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import APIRouter, Depends, Query, Response
from pydantic import Field

from shared.auth import Principal, Scope, requires
from shared.db import Database, Tx, now
from shared.definitions import store
from shared.definitions.documents import Change, Definition, Kind, Reference, Wish, read_document
from shared.http.bodies import Body
from shared.http.pages import Cursor, Limit, Page, decode_cursor, following
from shared.http.problems import FieldError, invalid, not_found

_MAX_ERRORS = 100
"""After so many errors the documents after them are not read."""

Reader = Annotated[Principal, Depends(requires(Scope.DEFINITIONS_READ))]
Writer = Annotated[Principal, Depends(requires(Scope.DEFINITIONS_WRITE))]

Unresolved = Callable[[Tx, str, Sequence[Reference]], Awaitable[list[Reference]]]
"""Which of the references name nothing that this service knows of, in a workspace."""

Put = Callable[[Tx, "Writing"], Awaitable[list[Change]]]
"""What a service does beside storing or deleting, in the same transaction (e.g. versions of a survey); returns the
changes to report. May raise a `Problem`, which undoes everything."""

Shown = Callable[[Tx, str, Sequence[Definition]], Awaitable[Mapping[str, Mapping[str, Any]]]]
"""What definitions of one kind show beside what is stored, by id."""


async def _all_resolved(tx: Tx, workspace: str, references: Sequence[Reference]) -> list[Reference]:
    return []


async def _nothing_more(tx: Tx, writing: "Writing") -> list[Change]:
    return list(writing.changes)


async def _as_stored(
    tx: Tx, workspace: str, definitions: Sequence[Definition]
) -> Mapping[str, Mapping[str, Any]]:
    return {}


@dataclass(frozen=True)
class Writing:
    """Wishes that have been stored, with the change that each of them came to; deletions come after them."""

    workspace: str
    wishes: Sequence[Wish]
    changes: Sequence[Change]
    by: str
    at: datetime


@dataclass(frozen=True)
class Context:
    """What the routes of one service's definitions need."""

    service: str
    database: Callable[[], Database]
    table: sa.Table
    outbox: sa.Table
    kinds: tuple[Kind, ...]
    unresolved: Unresolved = _all_resolved
    put: Put = _nothing_more
    shown: Shown = _as_stored


class Documents(Body):
    """What `apply` sends: documents with kind and id, and the kinds to prune."""

    documents: list[dict[str, Any]] = Field(max_length=2_000)
    prune: bool = False


def definition_routes(context: Context) -> APIRouter:
    """The router of all kinds of one service."""
    router = APIRouter(tags=["definitions"])
    for kind in context.kinds:
        _add_kind(router, context, kind)

    @router.post(f"/v1/apply/{context.service}", name="apply")
    async def apply(
        body: Documents, principal: Writer, dry_run: Annotated[bool, Query(alias="dry-run")] = False
    ) -> dict[str, Any]:
        """Make the definitions of this service as given, all or nothing; `?dry-run` only says what would change."""
        wishes = _read_all(context, body.documents)
        changes = await _apply(context, principal, wishes, prune=body.prune, dry_run=dry_run)
        return {"changes": [_change_json(change) for change in changes], "dry_run": dry_run}

    return router


def _add_kind(router: APIRouter, context: Context, kind: Kind) -> None:
    path = f"/v1/{kind.plural}"
    model: Any = kind.model  # the type of the body follows from the kind, which no checker can see

    async def put(
        id: str, document: model, principal: Writer, response: Response
    ) -> dict[str, Any]:
        wish, errors = read_document(kind, id, document.model_dump(mode="json", exclude_unset=True))
        if wish is None:
            raise invalid(errors)
        changes = await _apply(context, principal, [wish], prune=False, dry_run=False)
        response.status_code = 201 if changes[0].action == "create" else 200
        return await get(id, principal)

    async def get(id: str, principal: Reader) -> dict[str, Any]:
        async with context.database().read() as tx:
            found = await store.get_definition(
                tx, context.table, principal.workspace, kind.name, id
            )
            if found is None:
                raise not_found(kind.name, id)
            return (await _definitions_json(tx, context, kind, [found]))[0]

    async def list_all(
        principal: Reader, limit: Limit = 100, cursor: Cursor = None
    ) -> Page[dict[str, Any]]:
        after = decode_cursor(cursor, str)
        async with context.database().read() as tx:
            found = await store.list_definitions(
                tx,
                context.table,
                principal.workspace,
                kind.name,
                after=after[0] if after else "",
                limit=limit + 1,
            )
            items = await _definitions_json(tx, context, kind, found[:limit])
        return Page(items=items, next=following(found, limit, "id"))

    async def delete(id: str, principal: Writer) -> Response:
        async with context.database().begin() as tx:
            at = await now(tx)
            deleted = await store.delete_definition(
                tx,
                context.table,
                context.outbox,
                principal.workspace,
                kind.name,
                id,
                source=context.service,
                by=principal.id,
                at=at,
            )
            if not deleted:
                raise not_found(kind.name, id)
            change = Change(kind.name, id, "delete", None, None)
            await context.put(tx, Writing(principal.workspace, [], [change], principal.id, at))
        return Response(status_code=204)

    name = kind.name.replace("-", "_")
    router.add_api_route(f"{path}/{{id}}", put, methods=["PUT"], name=f"put_{name}")
    router.add_api_route(f"{path}/{{id}}", get, methods=["GET"], name=f"get_{name}")
    router.add_api_route(path, list_all, methods=["GET"], name=f"list_{name}")
    router.add_api_route(
        f"{path}/{{id}}", delete, methods=["DELETE"], name=f"delete_{name}", status_code=204
    )


def _read_all(context: Context, documents: Sequence[dict[str, Any]]) -> list[Wish]:
    kinds = {kind.name: kind for kind in context.kinds}
    wishes: list[Wish] = []
    errors: list[FieldError] = []
    seen: set[tuple[str, str]] = set()
    for index, raw in enumerate(documents):
        if len(errors) >= _MAX_ERRORS:
            break
        at = f"documents[{index}]"
        kind = kinds.get(str(raw.get("kind")))
        if kind is None:
            errors.append(
                FieldError(f"{at}.kind", f"is {raw.get('kind')!r}", " or ".join(sorted(kinds)))
            )
            continue
        wish, found = read_document(kind, None, raw, at=at)
        errors += found
        if wish is None:
            continue
        if (kind.name, wish.id) in seen:
            errors.append(
                FieldError(f"{at}.id", f"{kind.name} {wish.id!r} is defined twice", "each id once")
            )
        seen.add((kind.name, wish.id))
        wishes.append(wish)
    if errors:
        raise invalid(errors[:_MAX_ERRORS])
    return wishes


async def _apply(
    context: Context, principal: Principal, wishes: Sequence[Wish], *, prune: bool, dry_run: bool
) -> list[Change]:
    database = context.database()
    async with database.rehearse() if dry_run else database.begin() as tx:
        at = await now(tx)
        changes = await store.put_definitions(
            tx,
            context.table,
            context.outbox,
            principal.workspace,
            wishes,
            prune=context.kinds if prune else (),
            source=context.service,
            by=principal.id,
            at=at,
        )
        writing = Writing(principal.workspace, wishes, changes, principal.id, at)
        return await context.put(tx, writing)


async def _definitions_json(
    tx: Tx, context: Context, kind: Kind, definitions: Sequence[Definition]
) -> list[dict[str, Any]]:
    if not definitions:
        return []
    workspace = definitions[0].workspace
    wishes = [read_document(kind, each.id, each.document)[0] for each in definitions]
    references = [list(wish.references) if wish else [] for wish in wishes]
    named = [reference for each in references for reference in each]
    unknown = set(await context.unresolved(tx, workspace, named)) if named else set()
    shown = await context.shown(tx, workspace, definitions)
    return [
        {
            "kind": definition.kind,
            "id": definition.id,
            **definition.document,
            "state": definition.state,
            "revision": definition.revision,
            "active_from": definition.active_from,
            "changed_at": definition.changed_at,
            "changed_by": definition.changed_by,
            "unresolved": [asdict(reference) for reference in each if reference in unknown],
            **shown.get(definition.id, {}),
        }
        for definition, each in zip(definitions, references, strict=True)
    ]


def _change_json(change: Change) -> dict[str, Any]:
    return asdict(change) | {"references": [asdict(reference) for reference in change.references]}
