"""Folds a batch of events in log order: who meets which trigger, what cancels what, what is decided. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from services.trigger.occasions import (
    Occasion,
    event_facts,
    first_seen,
    snapshot_of,
    transaction_key,
    with_customer,
)
from services.trigger.rulebook import Cancel, Rulebook, Trigger
from services.trigger.rules import screen, settle
from services.trigger.verdicts import (
    CustomerKey,
    HoldKey,
    Ledger,
    Moment,
    Outcome,
    Reason,
    Step,
    Verdict,
)
from shared.contracts.envelope import Received
from shared.contracts.events import Event
from shared.contracts.messages import CustomerChanged

Books = Mapping[str, Rulebook]
Customers = Mapping[CustomerKey, CustomerChanged]


@dataclass(slots=True)
class Candidate:
    """An occasion on its way to a verdict; `position` is its event's place in the batch."""

    position: int
    occasion: Occasion
    trigger: Trigger
    steps: list[Step]
    verdict: Verdict | None = None
    completed: bool = False
    """Whether the customer and the dimensions are those of now."""

    @property
    def customer(self) -> CustomerKey:
        return self.occasion.workspace, self.occasion.customer_id


@dataclass(frozen=True, slots=True)
class Cancellation:
    """An event that cancels what is pending about a transaction."""

    position: int
    key: HoldKey
    received: Received[Event]

    @property
    def by(self) -> str:
        event = self.received.message
        return described(event.id, event.source, event.type)


def described(event: str, source: str, type: str) -> str:
    """An event, in the words of a trace."""
    return f"the event {event} of {source} ({type})"


def meet(
    fresh: Sequence[Received[Event]], books: Books, moment: Moment, new_id: Callable[[], str]
) -> list[Candidate]:
    """One candidate per event and trigger that listens to its type, in log order, then by priority."""
    at = moment.now.isoformat()
    return [
        Candidate(
            position,
            first_seen(
                new_id(),
                received.message,
                trigger,
                arrived_at=received.appended_at,
                traceparent=received.traceparent,
            ),
            trigger,
            [{"step": "arrival", "at": at}],
        )
        for position, received in enumerate(fresh)
        for trigger in books[received.workspace].by_type.get(received.message.type, ())
    ]


def complete(
    candidates: Sequence[Candidate], customers: Customers, books: Books, moment: Moment
) -> None:
    """Give each occasion its customer and dimensions as they are now; the customer stays unknown while our copy
    is not fresh, and is then looked up at the release."""
    for candidate in candidates:
        id = candidate.occasion.customer_id
        customer = snapshot_of(customers.get(candidate.customer), id) if moment.fresh else None
        book = books[candidate.occasion.workspace]
        candidate.occasion = with_customer(candidate.occasion, customer, candidate.trigger, book)
        candidate.completed = True


def screen_all(candidates: Sequence[Candidate], moment: Moment) -> list[Candidate]:
    """Decide what needs no lock; the rest is returned."""
    for candidate in candidates:
        candidate.verdict = screen(candidate.occasion, candidate.trigger, moment, candidate.steps)
    return [candidate for candidate in candidates if candidate.verdict is None]


def find_cancellations(fresh: Sequence[Received[Event]], books: Books) -> list[Cancellation]:
    """What the events of a batch cancel, in log order."""
    found = []
    for position, received in enumerate(fresh):
        for cancel in books[received.workspace].cancels.get(received.message.type, ()):
            key = _cancelled_key(cancel, received)
            if key is not None:
                found.append(Cancellation(position, key, received))
    return found


def settle_all(
    rest: Sequence[Candidate],
    cancellations: Sequence[Cancellation],
    books: Books,
    ledger: Ledger,
    moment: Moment,
) -> None:
    """Decide the rest in log order under their customers' locks; an event cancels before it is decided about."""
    pending: dict[HoldKey, Candidate] = {}
    waiting = iter([*cancellations, None])
    cancellation = next(waiting)
    for candidate in rest:
        while cancellation is not None and cancellation.position <= candidate.position:
            _cancel(cancellation, pending, ledger)
            cancellation = next(waiting)
        occasion = candidate.occasion
        verdict = settle(
            occasion, candidate.trigger, books[occasion.workspace], ledger, moment, candidate.steps
        )
        candidate.verdict = verdict
        if verdict.outcome is Outcome.PENDING:
            pending[(occasion.workspace, occasion.trigger, occasion.transaction_key or "")] = (
                candidate
            )
    while cancellation is not None:
        _cancel(cancellation, pending, ledger)
        cancellation = next(waiting)


def cancelled(key: HoldKey, by: str, steps: Sequence[Step] = ()) -> Verdict:
    """The verdict about a pending decision whose transaction an event cancelled."""
    step: Step = {"step": Reason.CANCEL_ON, "passed": False, "transaction": key[2], "event": by}
    return Verdict(Outcome.CANCELLED, Reason.CANCEL_ON, [*steps, step])


def _cancel(cancellation: Cancellation, pending: dict[HoldKey, Candidate], ledger: Ledger) -> None:
    key = cancellation.key
    ledger.cancelled.setdefault(key, cancellation.by)
    candidate = pending.pop(key, None)
    if candidate is not None and candidate.verdict is not None:
        candidate.verdict = cancelled(key, cancellation.by, candidate.verdict.steps)
        ledger.holds.pop(key, None)


def _cancelled_key(cancel: Cancel, received: Received[Event]) -> HoldKey | None:
    event = received.message
    transaction = transaction_key(cancel.transaction, event)
    if transaction is None:
        return None
    if cancel.when is not None:
        facts = {"event": event_facts(event.type, event.source, event.time), "data": event.data}
        if cancel.when.matches(facts) is not True:
            return None
    return received.workspace, cancel.trigger, transaction
