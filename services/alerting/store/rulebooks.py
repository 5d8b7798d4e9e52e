"""The compiled alert rules of each workspace, read again when any replica has changed them."""

from collections.abc import Iterable

import sqlalchemy as sa

from services.alerting.definitions import RULE
from services.alerting.rules.judging import Rule
from services.alerting.store.endpoints import load_rules
from services.alerting.tables import definitions
from shared.db import Prepared, Tx, among

_MOST_WORKSPACES = 1_000
_VERSIONS = Prepared(
    sa.select(definitions.c.workspace, sa.func.sum(definitions.c.revision))
    .where(among(definitions.c.workspace, "workspaces"), definitions.c.kind == RULE)
    .group_by(definitions.c.workspace)
)


class Rulebooks:
    """A cache that asks one cheap question per batch: the sum of all revisions, which every change raises."""

    def __init__(self) -> None:
        self._books: dict[str, tuple[int, list[Rule]]] = {}

    async def load(self, tx: Tx, workspaces: Iterable[str]) -> list[Rule]:
        """All alert rules of these workspaces as of now, paused ones included."""
        found = await _VERSIONS.rows(tx, workspaces=sorted(set(workspaces)))
        versions = {workspace: int(version) for workspace, version in found}
        books = {w: self._books[w] for w in versions if w in self._books}
        changed = [w for w in versions if w not in books or books[w][0] != versions[w]]
        read = await load_rules(tx, changed)
        books |= {w: (versions[w], [r for r in read if r.workspace == w]) for w in changed}
        for workspace, book in books.items():
            self._books.pop(workspace, None)  # what was asked for last is forgotten last
            self._books[workspace] = book
        while len(self._books) > _MOST_WORKSPACES:
            del self._books[next(iter(self._books))]
        return [rule for _, rules in books.values() for rule in rules]
