"""Counts responses: claims what is newer, works out what the cells change by, and adds it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from services.scoring import rules
from services.scoring.metrics import FIXED_SCALES
from services.scoring.store import cells, facts, rollups
from shared import crash
from shared.contracts.envelope import Received
from shared.contracts.messages import ResponseChanged
from shared.db import Database
from shared.telemetry import log


@dataclass(frozen=True)
class Counting:
    """Counts each revision of a response once and takes back what it replaces."""

    database: Database
    rollup: tuple[str, ...]

    async def handle(self, batch: Sequence[Received[Any]]) -> None:
        """Apply a batch in one transaction; older revisions and replays change nothing. Raises `NotCountable` for
        an answer off its scale and `CountBroken` when the cells do not agree with the facts."""
        said = [one for one in batch if isinstance(one.message, ResponseChanged)]
        if not said:
            return
        async with self.database.begin() as tx:
            held = await rollups.hold(tx, {one.workspace for one in said}, self.rollup)
            stated = rules.newest(
                rules.fact_of(one.workspace, one.message, held[one.workspace], FIXED_SCALES)
                for one in said
            )
            old, new = await facts.claim(tx, stated)
            await facts.replace_answers(tx, old, new)
            await rollups.remember_names(tx, new)
            await cells.add(tx, rules.changes(old, new, held))
            crash.point(crash.Point.WORKER_BEFORE_COMMIT)
        log.debug("responses_counted", records=len(batch), counted=len(new), replaced=len(old))
