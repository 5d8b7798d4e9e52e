"""Counts responses: claims what is newer, works out what the cells change by, and adds it."""

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

from services.scoring import rules
from services.scoring.instruments import ANSWERED_TO_SCORED, COUNTED
from services.scoring.metrics import FIXED_SCALES
from services.scoring.store import cells, facts, rollups
from services.scoring.tables import positions
from shared import crash
from shared.contracts.envelope import Received, decode_lean
from shared.contracts.messages import ResponseChanged
from shared.db import Database
from shared.positions import advance
from shared.telemetry import log

decode_response = partial(decode_lean, ResponseChanged)
"""A response is read into the lean form of its model: scoring reads every field of every response."""

_REMEMBERED = 10_000
"""How many names of dimensions are kept in mind; whoever may post responses may make up any."""

_COUNTING_AT_ONCE = 2
"""How many batches may be where they add to the cells: nearly all meet in some, and the database takes longer for each
that waits there. One waits, so that it goes on in the moment in which the other is committed."""


@dataclass(frozen=True)
class Counting:
    """Counts each revision of a response once and takes back what it replaces."""

    database: Database
    rollup: tuple[str, ...]
    _remembered: set[tuple[str, str]] = field(default_factory=set)
    _turns: asyncio.Semaphore = field(default_factory=partial(asyncio.Semaphore, _COUNTING_AT_ONCE))

    async def handle(self, batch: Sequence[Received[Any]]) -> None:
        """Apply a batch in one transaction; older revisions and replays change nothing. Raises `NotCountable` for
        an answer off its scale and `CountBroken` when the cells do not agree with the facts."""
        async with AsyncExitStack() as until_committed, self.database.begin() as tx:
            held = await rollups.hold(tx, {one.workspace for one in batch}, self.rollup)
            stated = rules.newest(
                rules.fact_of(one.workspace, one.message, held[one.workspace], FIXED_SCALES)
                for one in batch
            )
            old, new = await facts.claim(tx, stated)
            await facts.replace_answers(tx, old, new)
            names = {(fact.workspace, name) for fact in new for name in fact.dimensions}
            await rollups.remember_names(tx, names - self._remembered)
            await advance(tx, positions, batch)
            changed = cells.rows_of(rules.changes(old, new, held))
            await until_committed.enter_async_context(self._turns)
            await cells.add(tx, changed)
            crash.point(crash.Point.WORKER_BEFORE_COMMIT)
        self._remember(names)
        COUNTED.inc(len(new))
        ANSWERED_TO_SCORED.labels().observe_since(_stored(batch, new))
        log.debug("responses_counted", records=len(batch), counted=len(new), replaced=len(old))

    def _remember(self, names: set[tuple[str, str]]) -> None:
        """These names of dimensions are committed: nobody takes them back, so they need no statement again."""
        if len(self._remembered) > _REMEMBERED:
            self._remembered.clear()
        self._remembered.update(names)


def _stored(batch: Sequence[Received[Any]], counted: Sequence[rules.Fact]) -> Iterable[datetime]:
    """When what was counted had been stored by ingest."""
    if not counted:
        return ()
    changed = {(r.workspace, r.message.id, r.message.revision): r.message.changed_at for r in batch}
    return (changed[fact.workspace, fact.response, fact.revision] for fact in counted)
