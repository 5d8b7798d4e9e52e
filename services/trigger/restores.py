"""Takes over again what trigger itself announced, where its database is older than the log.

Without it the events that are read again would be decided about as if nobody had been invited yet.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from services.trigger.definitions import CHANNEL, CONTACT_POLICY, TRIGGER
from services.trigger.store import events, restoring, secrets
from services.trigger.tables import definitions
from services.trigger.verdicts import Clock, CustomerKey
from shared.auth import Access
from shared.contracts.envelope import Received
from shared.contracts.newest import by_id, newest
from shared.contracts.topics import Topic
from shared.db import Tx, load, now
from shared.definitions.store import restore_definitions
from shared.recovery import Restore

_KINDS = frozenset({TRIGGER, CHANNEL, CONTACT_POLICY})


@dataclass(frozen=True)
class Restores:
    """`access` tells whose contact clocks go by the events' own time."""

    access: Access

    def by_topic(self) -> Mapping[str, Restore]:
        """Definitions first: whoever reads on goes by them."""
        return {Topic.DEFINITIONS: _restore_definitions, Topic.INVITATIONS: self._invitations}

    async def _invitations(self, tx: Tx, batch: Sequence[Received[Any]]) -> int:
        """The invitations, their decisions, the transactions that these hold, and the contact clocks."""
        announced = newest(batch, by_id)
        clocks = await events.lock_contacts(
            tx, {(each.workspace, each.message.customer.id) for each in announced.values()}
        )
        made, changed = await restoring.take_over(tx, announced)
        if made:
            await events.save_clocks(tx, self._moved(clocks, made))
            # By the log's clock too: it tells when their events arrived, and may be ahead of the database's.
            announced_at = max(each.appended_at for each in made)
            await restoring.note_restored(tx, max(await now(tx), announced_at))
        return len(made) + changed

    def _moved(
        self, clocks: Mapping[CustomerKey, Clock], made: Sequence[Received[Any]]
    ) -> dict[CustomerKey, Clock]:
        moved: dict[CustomerKey, Clock] = {}
        for received in made:
            message = received.message
            key = (received.workspace, message.customer.id)
            clock = moved.get(key, clocks.get(key, Clock()))
            by_events = self._by_events(received.workspace)
            asked_at = (by_events and message.transaction.time) or message.made_at
            if clock.last_invited_at is None or clock.last_invited_at <= asked_at:
                furthest = max(clock.at or asked_at, asked_at) if by_events else clock.at
                clock = Clock(asked_at, message.id, furthest)
            moved[key] = clock
        return moved

    def _by_events(self, id: str) -> bool:
        workspace = self.access.workspace(id)
        return workspace is not None and workspace.clock == "event"


async def _restore_definitions(tx: Tx, batch: Sequence[Received[Any]]) -> int:
    """The triggers, channels and policies. Secrets are never announced: a channel that has none is given a new one."""
    written = await restore_definitions(tx, definitions, batch, _KINDS)
    d = definitions.c
    channels = [key for key in written if key[1] == CHANNEL]
    for row in await load(tx, definitions, [d.workspace, d.kind, d.id], channels):
        if row.state == "deleted":
            await secrets.forget_secrets(tx, row.workspace, [row.id])
        else:
            await secrets.make_secrets(tx, row.workspace, [row.id])
    return len(written)
