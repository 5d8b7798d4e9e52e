"""Takes over the invitations that trigger announces, and joins with them what waited for them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from services.ingest.rules import responses as rules
from services.ingest.store import invitations, responses, stops
from services.ingest.tables import positions
from shared import crash
from shared.auth import Access
from shared.contracts.envelope import Received
from shared.db import Database, Tx, now
from shared.positions import advance


@dataclass(frozen=True)
class InvitationCopies:
    """The handler of the invitations topic, which are read leanly. Replaying a batch finds nothing newer and changes nothing."""

    database: Database
    access: Access

    async def handle(self, batch: Sequence[Received[Any]]) -> None:
        """Copy newer revisions, join parked answers, apply parked stops; one database transaction."""
        async with self.database.begin() as tx:
            newer = await invitations.save_newer(tx, batch)
            await self._join(tx, newer)
            waiting = await invitations.take_parked_stops(tx, sorted(newer))
            customers = [(workspace, newer[workspace, id].customer.id) for workspace, id in waiting]
            await stops.stop_asking(tx, customers)
            await advance(tx, positions, batch)
            crash.point(crash.Point.WORKER_BEFORE_COMMIT)

    async def _join(self, tx: Tx, newer: dict[tuple[str, str], Any]) -> None:
        parked = await responses.parked_answers(tx, sorted(newer))
        if not parked:
            return
        at = await now(tx)
        joined = []
        for response in parked:
            invitation = invitations.whole(newer[response.workspace, str(response.invitation)])
            zone = self._time_zone(response.workspace)
            joined.append(rules.submitted(response, rules.joined_with(invitation), zone, at))
        await responses.save(tx, joined)

    def _time_zone(self, workspace: str) -> str:
        found = self.access.workspace(workspace)
        return found.time_zone if found else "UTC"
