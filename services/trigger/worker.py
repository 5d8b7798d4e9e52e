"""Handles what trigger consumes; `events` is the whole story of an event, from claim to invitation."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import uuid_utils

from services.trigger import batch as fold
from services.trigger.batch import Books, Candidate
from services.trigger.definitions import COPIED_KINDS
from services.trigger.instruments import ACCEPTED_TO_INVITED, DECISIONS
from services.trigger.invitations import Made, Maker
from services.trigger.poison import refuse_poison
from services.trigger.store import cancellations, customers, events, invitations, restoring
from services.trigger.store.decisions import DECIDED
from services.trigger.store.rulebooks import Rulebooks
from services.trigger.store.situation import Situation, look
from services.trigger.tables import definition_copies, positions
from services.trigger.verdicts import CONSENT, Ledger, Moment, Outcome, Verdict
from shared import crash
from shared.auth import Access
from shared.contracts.envelope import Received
from shared.contracts.events import Event
from shared.contracts.messages import CustomerChanged, DefinitionChanged, ResponseChanged
from shared.db import Database, Tx, wake
from shared.definitions.store import save_copies
from shared.positions import advance

_REASON_CHARS = 500


@dataclass(frozen=True)
class Handlers:
    """The handler of each topic; each applies a batch in one database transaction and may be replayed."""

    database: Database
    access: Access
    maker: Maker
    rulebooks: Rulebooks

    async def events(self, batch: Sequence[Received[Event]]) -> None:
        """Decide about each event that is new, for each trigger that listens to its type."""
        refuse_poison(batch)
        async with self.database.begin() as tx:
            situation = await look(tx, {received.workspace for received in batch})
            books = await self.rulebooks.load(tx, situation.versions)
            fresh = await _claim(tx, batch, books)
            moment = moment_of(situation, self.access)
            met = fold.meet(fresh, books, moment, new_id)
            candidates = await _undecided(tx, met, situation)
            await _complete(
                tx,
                [c for c in candidates if c.trigger.reads_customer or c.trigger.reads_dimensions],
                books,
                moment,
            )
            rest = fold.screen_all(candidates, moment)
            cancelling = fold.find_cancellations(fresh, books)
            clocks = await events.lock_contacts(tx, (c.customer for c in rest))
            known = await _complete(tx, rest, books, moment)
            ledger = await events.load_ledger(tx, [c.occasion for c in rest], books, clocks, known)
            before = Ledger(dict(ledger.holds), dict(ledger.cancelled), dict(ledger.clocks))
            fold.settle_all(rest, cancelling, books, ledger, moment)
            await cancellations.save(tx, cancelling, moment.now)
            await events.save_ledger(tx, before, ledger)
            made = await self._save(tx, candidates, moment)
            await advance(tx, positions, batch)
            crash.point(crash.Point.WORKER_BEFORE_COMMIT)
        count(
            (c.verdict for c in candidates),
            no_trigger=len(fresh) - len({c.position for c in met}),
        )
        ACCEPTED_TO_INVITED.labels().observe_since(each.occasion.arrived_at for each in made)

    async def bury(self, received: Received[Event], reason: str) -> None:
        """Leave a decision about an event that was given up: `dead_lettered`, with the reason."""
        row = _seen_row(received, {}) | {
            "claimed": 0,
            "outcome": str(Outcome.DEAD_LETTERED),
            "reason": reason.replace("\x00", "")[:_REASON_CHARS],
        }
        async with self.database.begin() as tx:
            await events.bury(tx, row)
            wake(tx, DECIDED)
        DECISIONS.labels(Outcome.DEAD_LETTERED, "").inc()

    async def customers(self, batch: Sequence[Received[CustomerChanged]]) -> None:
        """Take over newer states and the position; who does not want to be asked has no open invitation left.

        A stop takes the customer's lock, so that it comes wholly before or wholly after a release."""
        refusing = {
            (received.workspace, received.message.id)
            for received in batch
            if received.message.consent.get(CONSENT) is False or received.message.state == "erased"
        }
        async with self.database.begin() as tx:
            await events.lock_contacts(tx, refusing)
            changed = await customers.save_customers(tx, batch)
            await invitations.stop_invitations(tx, refusing.intersection(changed))
            crash.point(crash.Point.WORKER_BEFORE_COMMIT)

    async def responses(self, batch: Sequence[Received[ResponseChanged]]) -> None:
        """An invitation that was answered says so, once."""
        answered = {
            (received.workspace, received.message.invitation): received.traceparent
            for received in batch
            if received.message.invitation is not None and received.message.state == "submitted"
        }
        async with self.database.begin() as tx:
            await invitations.answer_invitations(tx, answered)
            await advance(tx, positions, batch)
            crash.point(crash.Point.WORKER_BEFORE_COMMIT)

    async def definitions(self, batch: Sequence[Received[DefinitionChanged]]) -> None:
        """Keep copies of the surveys, journeys and units that triggers refer to."""
        async with self.database.begin() as tx:
            await save_copies(tx, definition_copies, batch, COPIED_KINDS)
            await advance(tx, positions, batch)
            crash.point(crash.Point.WORKER_BEFORE_COMMIT)

    async def _save(self, tx: Tx, candidates: Sequence[Candidate], moment: Moment) -> list[Made]:
        decided = [(c, c.verdict) for c in candidates if c.verdict is not None]
        rows = [
            events.decision_row(c.occasion, verdict, moment.now, c.trigger.priority)
            for c, verdict in decided
        ]
        made = [
            self.maker.make(c.occasion, c.trigger, moment.now)
            for c, verdict in decided
            if verdict.outcome is Outcome.INVITED
        ]
        await events.save_decisions(tx, rows)
        await invitations.save_invitations(tx, made, moment.now)
        wake(tx, DECIDED)
        return made


def new_id() -> str:
    """An id in the order of time."""
    return str(uuid_utils.uuid7())


def moment_of(situation: Situation, access: Access, *, release: bool = False) -> Moment:
    """Now, by the database; and whether our copy of the customers is recent enough to ask anybody."""
    found = [access.workspace(workspace) for workspace in situation.versions]
    clocks = frozenset(
        workspace.id for workspace in found if workspace is not None and workspace.clock == "event"
    )
    return Moment(situation.now, situation.fresh, release, clocks)


def count(verdicts: Iterable[Verdict | None], *, no_trigger: int = 0) -> None:
    """Count what was decided, once it is committed."""
    decided = Counter((v.outcome, v.reason or "") for v in verdicts if v is not None)
    for (outcome, reason), times in decided.items():
        DECISIONS.labels(outcome, reason).inc(times)
    if no_trigger:
        DECISIONS.labels(Outcome.NO_TRIGGER, "").inc(no_trigger)


async def _claim(tx: Tx, batch: Sequence[Received[Event]], books: Books) -> list[Received[Event]]:
    """The events of the batch that nobody has decided about, in log order, each once."""
    first: dict[events.EventKey, Received[Event]] = {}
    for received in batch:
        first.setdefault(
            (received.workspace, received.message.id, received.message.source), received
        )
    rows = {
        key: _seen_row(received, books[received.workspace].by_type)
        for key, received in first.items()
    }
    claimed = await events.claim(tx, rows.values())
    return [first[key] for key, row in rows.items() if row["id"] in claimed]


def _seen_row(received: Received[Event], listening: Mapping[str, Any]) -> dict[str, Any]:
    event = received.message
    return {
        "workspace": received.workspace,
        "event": event.id,
        "source": event.source,
        "id": new_id(),
        "claimed": 1,
        "outcome": None if event.type in listening else "no_trigger",
        "reason": None,
        "customer": event.subject,
        "type": event.type,
        "arrived_at": received.appended_at,
    }


async def _undecided(tx: Tx, candidates: list[Candidate], situation: Situation) -> list[Candidate]:
    """Without those that were decided before their event was read: an invitation that was restored stands for them."""
    until = situation.restored_at
    again = [c.occasion for c in candidates if until and c.occasion.arrived_at <= until]
    if not again:
        return candidates
    known = await restoring.decided(tx, again)
    return [
        c
        for c in candidates
        if (c.occasion.workspace, c.occasion.event, c.occasion.source, c.occasion.trigger)
        not in known
    ]


async def _complete(
    tx: Tx, candidates: Sequence[Candidate], books: Books, moment: Moment
) -> fold.Customers:
    """Look up the customers, and complete the occasions that do not have theirs yet."""
    known = (
        await customers.load_customers(tx, (c.customer for c in candidates)) if moment.fresh else {}
    )
    fold.complete([c for c in candidates if not c.completed], known, books, moment)
    return known
