"""Takes over again what ingest itself announced, where its database is older than the log."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final

from services.ingest.definitions import KINDS, SURVEY
from services.ingest.rules.versions import next_versions
from services.ingest.store import customers, responses, surveys
from services.ingest.tables import definitions
from shared.contracts.envelope import Received
from shared.contracts.topics import Topic
from shared.db import Tx, load, now
from shared.definitions.store import restore_definitions
from shared.recovery import Restore

BY: Final = "ingest: restored from the log"
_KINDS = frozenset(kind.name for kind in KINDS)


async def _restore_definitions(tx: Tx, batch: Sequence[Received[Any]]) -> int:
    """The definitions, and of surveys the version that was published. Its number is the next one: how many drafts
    came between was not announced."""
    written = await restore_definitions(tx, definitions, batch, _KINDS)
    d = definitions.c
    changed = [key for key in written if key[1] == SURVEY.name]
    documents: defaultdict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
    for row in await load(tx, definitions, [d.workspace, d.kind, d.id], changed):
        if row.state != "deleted":
            documents[row.workspace][row.id] = row.document
    for workspace, theirs in documents.items():
        newest = await surveys.newest_versions(tx, workspace, sorted(theirs))
        made = next_versions(theirs, newest)
        await surveys.save_versions(tx, workspace, made, by=BY, at=await now(tx))
    return len(written)


async def _restore_customers(tx: Tx, batch: Sequence[Received[Any]]) -> int:
    return await customers.restore(tx, batch, by=BY)


async def _restore_responses(tx: Tx, batch: Sequence[Received[Any]]) -> int:
    return await responses.restore(tx, batch, by=BY)


RESTORES: Final[Mapping[str, Restore]] = {
    Topic.DEFINITIONS: _restore_definitions,
    Topic.CUSTOMERS: _restore_customers,
    Topic.RESPONSES: _restore_responses,
}
