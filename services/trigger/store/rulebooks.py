"""The compiled definitions of each workspace, reloaded when any replica has changed them."""

from collections.abc import Mapping

import sqlalchemy as sa

from services.trigger.definitions import COPIED_KINDS
from services.trigger.rulebook import Copy, Rulebook, compile_rulebook
from services.trigger.store.situation import Version
from services.trigger.tables import definition_copies, definitions
from shared.db import Tx
from shared.definitions import Definition

_MOST_WORKSPACES = 1_000


class Rulebooks:
    """A cache of what the database had at a version; one that has moved is compiled anew."""

    def __init__(self) -> None:
        self._books: dict[str, tuple[Version, Rulebook]] = {}

    async def load(self, tx: Tx, versions: Mapping[str, Version]) -> dict[str, Rulebook]:
        """The rulebook of each workspace at its version; an unknown workspace has an empty one."""
        books: dict[str, Rulebook] = {}
        for workspace, version in versions.items():
            cached = self._books.pop(workspace, None)
            if cached is None or cached[0] != version:
                cached = (version, await _compile(tx, workspace))
            self._books[workspace] = cached
            books[workspace] = cached[1]
        while len(self._books) > _MOST_WORKSPACES:
            del self._books[next(iter(self._books))]
        return books


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
