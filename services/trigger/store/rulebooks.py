"""The compiled definitions of each workspace, reloaded when any replica has changed them."""

from collections.abc import Iterable

import sqlalchemy as sa

from services.trigger.definitions import COPIED_KINDS
from services.trigger.rulebook import Copy, Rulebook, compile_rulebook
from services.trigger.tables import definition_copies, definitions
from shared.db import Tx
from shared.definitions import Definition

Version = tuple[int, int]
_MOST_WORKSPACES = 1_000


class Rulebooks:
    """A cache that asks one cheap question per batch: the sum of all revisions, which every change raises."""

    def __init__(self) -> None:
        self._books: dict[str, tuple[Version, Rulebook]] = {}

    async def load(self, tx: Tx, workspaces: Iterable[str]) -> dict[str, Rulebook]:
        """The rulebook of each workspace as of now; an unknown workspace has an empty one."""
        wanted = sorted(set(workspaces))
        versions = await _versions(tx, wanted)
        books: dict[str, Rulebook] = {}
        for workspace in wanted:
            version = versions.get(workspace, (0, 0))
            cached = self._books.pop(workspace, None)
            if cached is None or cached[0] != version:
                cached = (version, await _compile(tx, workspace))
            self._books[workspace] = cached
            books[workspace] = cached[1]
        while len(self._books) > _MOST_WORKSPACES:
            del self._books[next(iter(self._books))]
        return books


async def _versions(tx: Tx, workspaces: list[str]) -> dict[str, Version]:
    parts = [
        sa.select(
            t.c.workspace,
            sa.literal_column(own).label("own"),
            sa.func.sum(t.c.revision).label("version"),
        )
        .where(t.c.workspace.in_(workspaces))
        .group_by(t.c.workspace)
        for t, own in ((definitions, "1"), (definition_copies, "0"))
    ]
    found: dict[str, list[int]] = {}
    for row in await tx.execute(sa.union_all(*parts)):
        found.setdefault(row.workspace, [0, 0])[row.own] = int(row.version)
    return {workspace: (sums[0], sums[1]) for workspace, sums in found.items()}


async def _compile(tx: Tx, workspace: str) -> Rulebook:
    own = sa.select(definitions).where(
        definitions.c.workspace == workspace, definitions.c.state != "deleted"
    )
    c = definition_copies.c
    copies = sa.select(c.kind, c.id, c.state, c.document).where(
        c.workspace == workspace, c.kind.in_(sorted(COPIED_KINDS)), c.state != "deleted"
    )
    return compile_rulebook(
        [Definition(**row._mapping) for row in await tx.execute(own)],
        [Copy(**row._mapping) for row in await tx.execute(copies)],
    )
