"""What a clock makes due: releasing pending decisions, expiring links, forgetting old events, watching freshness."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from services.trigger.batch import Customers
from services.trigger.instruments import ACCEPTED_TO_INVITED, DUE_TO_INVITED
from services.trigger.invitations import Made
from services.trigger.occasions import Occasion, snapshot_of, with_customer
from services.trigger.rulebook import Rulebook, Trigger
from services.trigger.rules import decide
from services.trigger.settings import EVENTS_KEPT_DAYS
from services.trigger.store import customers, decisions, events, housekeeping, invitations
from services.trigger.store.decisions import DECIDED
from services.trigger.store.situation import look
from services.trigger.verdicts import Ledger, Moment, Outcome, Reason, Verdict
from services.trigger.worker import Handlers, count, moment_of
from shared import crash
from shared.db import now, wake

EVENTS_KEPT: Final = timedelta(days=EVENTS_KEPT_DAYS)
_TAIL_RECORDS = 100


@dataclass(frozen=True)
class Releases:
    """The due-time work of trigger; every step may run in every replica at once."""

    handlers: Handlers

    async def release(self) -> int:
        """Decide again about what is due, under the customers' locks; returns how many were looked at."""
        database = self.handlers.database
        async with database.begin() as tx:
            if not await customers.is_fresh(tx, await now(tx)):
                return 0
            due = await decisions.claim_releases(tx)
        if not due:
            return 0
        async with database.begin() as tx:
            situation = await look(tx, {row.workspace for row in due})
            books = await self.handlers.rulebooks.load(tx, situation.versions)
            clocks = await events.lock_contacts(tx, {(row.workspace, row.customer) for row in due})
            rows = {
                row.id: row
                for row in await decisions.lock_pending(tx, [(r.workspace, r.id) for r in due])
            }
            ordered = [rows[row.id] for row in due if row.id in rows]
            moment = moment_of(situation, self.handlers.access, release=True)
            known = await customers.load_customers(
                tx, {(row.workspace, row.customer) for row in ordered}
            )
            occasions = [_occasion(row, known, books, moment) for row in ordered]
            ledger = await events.load_ledger(tx, occasions, books, clocks, known)
            before = Ledger(dict(ledger.holds), dict(ledger.cancelled), dict(ledger.clocks))
            decided = [_decide(occasion, books, ledger, moment) for occasion in occasions]
            await decisions.save_verdicts(
                tx,
                list(zip(ordered, decided, strict=True)),
                moment.now,
                {o.decision: o for o in occasions},
            )
            await events.save_clocks(
                tx, {k: c for k, c in ledger.clocks.items() if before.clocks.get(k) != c}
            )
            made = self._make(occasions, decided, books, moment)
            await invitations.save_invitations(tx, made, moment.now)
            wake(tx, DECIDED)
            crash.point(crash.Point.WORKER_BEFORE_COMMIT)
        count(v for v in decided if v.outcome is not Outcome.PENDING)
        _time(ordered, decided, books)
        return len(due)

    async def expire(self) -> int:
        """End the invitations whose links are too old; returns how many."""
        async with self.handlers.database.begin() as tx:
            return await invitations.expire_invitations(tx)

    async def forget(self) -> int:
        """Forget the events of 40 days ago, a small batch at a time; returns how many."""
        async with self.handlers.database.begin() as tx:
            return await housekeeping.forget_events(tx, await now(tx) - EVENTS_KEPT)

    async def unhold(self) -> int:
        """Look again at decisions that were held by a trigger which is not paused any more."""
        async with self.handlers.database.begin() as tx:
            return await housekeeping.unhold(tx)

    def _make(
        self,
        occasions: list[Occasion],
        decided: list[Verdict],
        books: dict[str, Rulebook],
        moment: Moment,
    ) -> list[Made]:
        return [
            self.handlers.maker.make(
                occasion, books[occasion.workspace].triggers[occasion.trigger], moment.now
            )
            for occasion, verdict in zip(occasions, decided, strict=True)
            if verdict.outcome is Outcome.INVITED
        ]


def _occasion(row: Any, known: Customers, books: dict[str, Rulebook], moment: Moment) -> Occasion:
    """The occasion as it was; a customer that could not be looked up at the arrival is looked up now."""
    occasion = events.occasion_of(row)
    book = books[occasion.workspace]
    trigger: Trigger | None = book.triggers.get(occasion.trigger)
    if occasion.customer is not None or trigger is None or not moment.fresh:
        return occasion
    customer = snapshot_of(
        known.get((occasion.workspace, occasion.customer_id)), occasion.customer_id
    )
    return with_customer(occasion, customer, trigger, book)


def _time(rows: Sequence[Any], decided: Sequence[Verdict], books: dict[str, Rulebook]) -> None:
    """What had to wait for our copy of the customers was late from the event on; all else, from when it was due."""
    since_accepted, since_due = [], []
    for row, verdict in zip(rows, decided, strict=True):
        if verdict.outcome is not Outcome.INVITED:
            continue
        trigger = books[row.workspace].triggers[row.trigger]
        if row.reason == Reason.WAITING_FOR_CUSTOMERS and not trigger.delay:
            since_accepted.append(row.arrived_at)
        else:
            since_due.append(row.due_at)
    ACCEPTED_TO_INVITED.labels().observe_since(since_accepted)
    DUE_TO_INVITED.labels().observe_since(since_due)


def _decide(
    occasion: Occasion, books: dict[str, Rulebook], ledger: Ledger, moment: Moment
) -> Verdict:
    book = books[occasion.workspace]
    return decide(occasion, book.triggers.get(occasion.trigger), book, ledger, moment)
