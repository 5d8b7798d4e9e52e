"""Every SQL statement about definitions: those a service owns, and its copies of others'."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from shared.contracts.envelope import Received
from shared.contracts.keys import Key
from shared.contracts.messages import DefinitionChanged
from shared.contracts.newest import newest
from shared.db import Json, Tx, Upsert, UtcDateTime, insert, load
from shared.definitions.documents import Change, Definition, Kind, Wish
from shared.errors import Unavailable
from shared.outbox import announce

_PLACE = ("workspace", "kind", "id")
_COPIED = ("revision", "state", "document")
_ANNOUNCED = (*_COPIED, "active_from", "changed_by")
_WRITTEN = (*_ANNOUNCED, "changed_at")


def definitions_table(metadata: sa.MetaData) -> sa.Table:
    """The definitions a service owns; a deleted one keeps its row, so that its revision goes on."""
    return sa.Table(
        "definitions",
        metadata,
        sa.Column("workspace", sa.Text, primary_key=True),
        sa.Column("kind", sa.Text, primary_key=True),
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("document", Json, nullable=False),
        sa.Column("active_from", UtcDateTime, nullable=False),
        sa.Column("changed_at", UtcDateTime, nullable=False),
        sa.Column("changed_by", sa.Text, nullable=False),
    )


def copies_table(metadata: sa.MetaData) -> sa.Table:
    """A service's copies of the definitions of others that it refers to."""
    return sa.Table(
        "definition_copies",
        metadata,
        sa.Column("workspace", sa.Text, primary_key=True),
        sa.Column("kind", sa.Text, primary_key=True),
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("document", Json, nullable=False),
    )


async def list_definitions(
    tx: Tx, table: sa.Table, workspace: str, kind: str, *, after: str = "", limit: int = 500
) -> list[Definition]:
    """The definitions of a kind in id order, without deleted ones."""
    t = table
    statement = (
        sa.select(t)
        .where(t.c.workspace == workspace, t.c.kind == kind, t.c.id > after, t.c.state != "deleted")
        .order_by(t.c.id)
        .limit(limit)
    )
    return [Definition(**row._mapping) for row in await tx.execute(statement)]


async def get_definition(
    tx: Tx, table: sa.Table, workspace: str, kind: str, id: str
) -> Definition | None:
    """One definition, None when there is none or it was deleted."""
    found = await load(tx, table, _key(table), [(workspace, kind, id)])
    return next((Definition(**row._mapping) for row in found if row.state != "deleted"), None)


async def put_definitions(
    tx: Tx,
    table: sa.Table,
    outbox: sa.Table,
    workspace: str,
    wishes: Sequence[Wish],
    *,
    prune: Iterable[Kind] = (),
    source: str,
    by: str,
    at: datetime,
) -> list[Change]:
    """Make the definitions as wished and announce what changed; what is the same stays untouched.

    `prune` names the kinds of which everything not wished for is deleted. Idempotent.
    """
    keys = sorted({(workspace, wish.kind.name, wish.id) for wish in wishes})
    rows = await load(tx, table, _key(table), keys, lock=True)
    stored = {(row.kind, row.id): Definition(**row._mapping) for row in rows}
    changes: list[Change] = []
    written: list[Definition] = []
    for wish in wishes:
        old = stored.get((wish.kind.name, wish.id))
        if old and old.state != "deleted" and wish.kind.beside(old, wish.document):
            changes.append(_untouched(wish, old))
            continue
        change = _change(wish, old)
        changes.append(change)
        if change.action != "unchanged":
            written.append(_next(workspace, wish, old, by, at))
    for kind in prune:
        kept = {wish.id for wish in wishes if wish.kind.name == kind.name}
        for old in await list_definitions(tx, table, workspace, kind.name, limit=10_000):
            if old.id not in kept:
                changes.append(Change(kind.name, old.id, "delete", old.document, None))
                written.append(_deleted(old, by, at))
    await save_definitions(tx, table, outbox, written, source=source)
    return changes


async def delete_definition(
    tx: Tx,
    table: sa.Table,
    outbox: sa.Table,
    workspace: str,
    kind: str,
    id: str,
    *,
    source: str,
    by: str,
    at: datetime,
) -> bool:
    """Delete one and announce it; False when there is none."""
    rows = await load(tx, table, _key(table), [(workspace, kind, id)], lock=True)
    if not rows or rows[0].state == "deleted":
        return False
    await save_definitions(
        tx, table, outbox, [_deleted(Definition(**rows[0]._mapping), by, at)], source=source
    )
    return True


async def save_definitions(
    tx: Tx, table: sa.Table, outbox: sa.Table, definitions: Sequence[Definition], *, source: str
) -> None:
    """Write new revisions, whose rows the caller has locked, and announce them.

    Raises `Unavailable` when another transaction made the same definition first: there was no row to lock.
    """
    rows = sorted((dict(each.__dict__) for each in definitions), key=_place)
    upsert = Upsert(_PLACE, replace=_WRITTEN, newer="revision")
    written = await insert(tx, table, rows, upsert=upsert, returning=("id",))
    if len(written) < len(rows):
        raise Unavailable("definitions: another request made the same one at the same time")
    announcements = [(Key(d.workspace, f"{d.kind}/{d.id}"), _message(d)) for d in definitions]
    if definitions:
        await announce(tx, outbox, source, definitions[0].changed_at, announcements)


async def save_copies(
    tx: Tx, table: sa.Table, batch: Sequence[Received[DefinitionChanged]], kinds: frozenset[str]
) -> list[tuple[str, str]]:
    """Take over newer revisions of the kinds that matter here; returns the (workspace, kind) that changed."""
    rows = [_row(received, _COPIED) for received in _newest(batch, kinds)]
    upsert = Upsert(_PLACE, replace=_COPIED, newer="revision")
    written = await insert(tx, table, rows, upsert=upsert, returning=("workspace", "kind"))
    return sorted({(row.workspace, row.kind) for row in written})


async def restore_definitions(
    tx: Tx, table: sa.Table, batch: Sequence[Received[Any]], kinds: Collection[str]
) -> list[tuple[str, str, str]]:
    """Take over again what a service announced of its own kinds, where that is newer than what it has stored; returns
    workspace, kind and id of those. When it was put is not announced, but for the moment of the announcement."""
    rows = [
        _row(received, _ANNOUNCED) | {"changed_at": received.appended_at}
        for received in _newest(batch, kinds)
    ]
    upsert = Upsert(_PLACE, replace=_WRITTEN, newer="revision")
    written = await insert(tx, table, rows, upsert=upsert, returning=_PLACE)
    return [(row.workspace, row.kind, row.id) for row in written]


def _newest(
    batch: Sequence[Received[Any]], kinds: Collection[str]
) -> Iterable[Received[DefinitionChanged]]:
    """The newest revision of each definition of these kinds, in key order."""
    ours = (received for received in batch if received.message.kind in kinds)
    return newest(ours, lambda r: (r.workspace, r.message.kind, r.message.id)).values()


def _row(received: Received[DefinitionChanged], names: Iterable[str]) -> dict[str, Any]:
    message = received.message
    row = {"workspace": received.workspace, "kind": message.kind, "id": message.id}
    return row | {name: getattr(message, name) for name in names}


def _place(row: Mapping[str, Any]) -> tuple[str, str, str]:
    return row["workspace"], row["kind"], row["id"]


def _key(table: sa.Table) -> list[sa.Column[Any]]:
    return [table.c.workspace, table.c.kind, table.c.id]


def _change(wish: Wish, old: Definition | None) -> Change:
    if old is None or old.state == "deleted":
        return Change(wish.kind.name, wish.id, "create", None, wish.document, wish.references)
    action = "unchanged" if old.document == wish.document else "update"
    return Change(wish.kind.name, wish.id, action, old.document, wish.document, wish.references)  # type: ignore[arg-type]  # the two literals above


def _untouched(wish: Wish, old: Definition) -> Change:
    return Change(
        wish.kind.name, wish.id, "unchanged", old.document, wish.document, wish.references
    )


def _next(workspace: str, wish: Wish, old: Definition | None, by: str, at: datetime) -> Definition:
    """The next revision. `active_from` moves only when it begins to act: an edit must not skip what is on its way."""
    state = wish.kind.state(wish.document)
    acted = old is not None and old.state not in ("deleted", "paused")
    active_from = old.active_from if old is not None and acted else at
    revision = old.revision + 1 if old else 1
    return Definition(
        workspace, wish.kind.name, wish.id, revision, state, wish.document, active_from, at, by
    )


def _deleted(old: Definition, by: str, at: datetime) -> Definition:
    return Definition(
        old.workspace, old.kind, old.id, old.revision + 1, "deleted", {}, old.active_from, at, by
    )


def _message(definition: Definition) -> DefinitionChanged:
    return DefinitionChanged(
        revision=definition.revision,
        kind=definition.kind,
        id=definition.id,
        state=definition.state,
        document=definition.document,
        active_from=definition.active_from,
        changed_by=definition.changed_by,
    )
