"""Decides whether to ask: values in, decisions out; the same at an event's arrival and at a decision's release."""

import hashlib
from datetime import datetime, timedelta
from typing import Any, Final

from services.trigger.definitions import LINK
from services.trigger.occasions import Occasion
from services.trigger.rulebook import Rulebook, Trigger
from services.trigger.verdicts import CONSENT, Clock, Ledger, Moment, Outcome, Reason, Step, Verdict

CLOCK_TOLERANCE: Final = timedelta(seconds=60)
"""How far clocks may differ between who defines a trigger and the log that takes an event."""
COPY_GRACE: Final = timedelta(seconds=10)
"""How long a decision waits for the copy of a survey when its trigger was put a moment ago."""
NEW_TRIGGER: Final = timedelta(seconds=60)
RETRY_SURVEY: Final = timedelta(seconds=0.5)


def decide(
    occasion: Occasion, trigger: Trigger | None, book: Rulebook, ledger: Ledger, moment: Moment
) -> Verdict:
    """Everything at once, as at a release: `screen`, then `settle`."""
    steps: list[Step] = [
        {"step": "release" if moment.release else "arrival", "at": moment.now.isoformat()}
    ]
    if trigger is None:
        return _no(Reason.TRIGGER_DELETED, steps)
    return screen(occasion, trigger, moment, steps) or settle(
        occasion, trigger, book, ledger, moment, steps
    )


def screen(
    occasion: Occasion, trigger: Trigger, moment: Moment, steps: list[Step]
) -> Verdict | None:
    """What needs neither history nor a lock; None when the occasion must be settled under its customer's lock."""
    return (
        _inactive(occasion, trigger, moment, steps)
        or _too_old(
            occasion,
            trigger,
            occasion.at if _by_events(occasion, moment) else moment.now,
            moment,
            steps,
        )
        or _condition(occasion, trigger, steps)
        or _no_transaction(occasion, trigger, steps)
        or _outside_sample(occasion, trigger, steps)
    )


def settle(
    occasion: Occasion,
    trigger: Trigger,
    book: Rulebook,
    ledger: Ledger,
    moment: Moment,
    steps: list[Step],
) -> Verdict:
    """The rest, under the customer's lock; what follows from it is noted in the ledger for the next in the batch."""
    customer = (occasion.workspace, occasion.customer_id)
    clock = ledger.clocks.get(customer, Clock())
    asked_at = _clock_now(occasion, clock, moment)
    if _by_events(occasion, moment):
        clock = Clock(clock.last_invited_at, clock.last_invitation, asked_at)
        ledger.clocks[customer] = clock
    verdict = (
        _of_the_transaction(occasion, trigger, ledger, asked_at, moment, steps)
        or _of_the_customer(occasion, trigger, ledger, moment, steps)
        or _of_the_definitions(occasion, trigger, book, moment, steps)
        or _delay(trigger, moment, steps)
        or _contact_policy(trigger, book, clock, asked_at, steps)
        or Verdict(Outcome.INVITED, None, [*steps, {"step": "invited", "passed": True}])
    )
    _note(occasion, ledger, clock, asked_at, verdict)
    return verdict


def sampled(workspace: str, trigger: str, customer: str) -> float:
    """Where a customer stands in [0, 1) for a trigger: always the same place, so that nobody is rolled again."""
    digest = hashlib.sha256(f"{workspace}/{trigger}/{customer}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def _clock_now(occasion: Occasion, clock: Clock, moment: Moment) -> datetime:
    if not _by_events(occasion, moment):
        return moment.now
    return max(at for at in (occasion.at, clock.at, clock.last_invited_at) if at is not None)


def _by_events(occasion: Occasion, moment: Moment) -> bool:
    return occasion.workspace in moment.event_clocks


def _inactive(
    occasion: Occasion, trigger: Trigger, moment: Moment, steps: list[Step]
) -> Verdict | None:
    """A pause holds what is pending and refuses what is new; what a trigger began before is not begun again."""
    if trigger.state == "paused":
        outcome = Outcome.PENDING if moment.release else Outcome.SUPPRESSED
        return Verdict(outcome, Reason.PAUSED, [*steps, {"step": Reason.PAUSED, "passed": False}])
    if not moment.release and occasion.arrived_at < trigger.active_from - CLOCK_TOLERANCE:
        return _no(Reason.BEFORE_ACTIVE, steps, active_from=trigger.active_from.isoformat())
    return None


def _no_transaction(occasion: Occasion, trigger: Trigger, steps: list[Step]) -> Verdict | None:
    if occasion.transaction_key is not None:
        return None
    return _no(Reason.NO_TRANSACTION, steps, path=".".join(trigger.transaction or ()))


def _outside_sample(occasion: Occasion, trigger: Trigger, steps: list[Step]) -> Verdict | None:
    if trigger.sample >= 1:
        return None
    share = sampled(occasion.workspace, trigger.id, occasion.customer_id)
    if share >= trigger.sample:
        return _no(Reason.NOT_SAMPLED, steps, sample=trigger.sample, share=round(share, 6))
    steps.append(
        {"step": "sample", "passed": True, "sample": trigger.sample, "share": round(share, 6)}
    )
    return None


def _too_old(
    occasion: Occasion, trigger: Trigger, clock: datetime, moment: Moment, steps: list[Step]
) -> Verdict | None:
    """At a release the delay that was asked for does not count as age."""
    age = clock - occasion.at
    if moment.release:
        age -= trigger.delay
    if age <= trigger.max_age:
        return None
    return _no(
        Reason.TOO_OLD,
        steps,
        age_seconds=int(age.total_seconds()),
        max_age_seconds=int(trigger.max_age.total_seconds()),
    )


def _condition(occasion: Occasion, trigger: Trigger, steps: list[Step]) -> Verdict | None:
    """While the customer is not known yet, what asks for the customer is asked at the release."""
    if trigger.when is None or (occasion.customer is None and trigger.reads_customer):
        return None
    facts = occasion.facts(trigger.when.roots)
    if trigger.when.matches(facts) is True:
        steps.append({"step": Reason.CONDITION, "passed": True})
        return None
    explained = trigger.when.explain(facts)
    return _no(Reason.CONDITION, steps, explanation=explained.tree, unknown=list(explained.unknown))


def _of_the_transaction(
    occasion: Occasion,
    trigger: Trigger,
    ledger: Ledger,
    clock: datetime,
    moment: Moment,
    steps: list[Step],
) -> Verdict | None:
    if _by_events(occasion, moment) and (
        verdict := _too_old(occasion, trigger, clock, moment, steps)
    ):
        return verdict
    key = (occasion.workspace, trigger.id, occasion.transaction_key or "")
    if (event := ledger.cancelled.get(key)) is not None:
        step = {"step": Reason.CANCEL_ON, "passed": False, "transaction": key[2], "event": event}
        return Verdict(Outcome.CANCELLED, Reason.CANCEL_ON, [*steps, step])
    holder = ledger.holds.get(key)
    if holder is not None and holder != occasion.decision:
        return _no(Reason.SAME_TRANSACTION, steps, transaction=key[2], decision=holder)
    steps.append({"step": "transaction", "passed": True, "transaction": key[2]})
    return None


def _of_the_customer(
    occasion: Occasion, trigger: Trigger, ledger: Ledger, moment: Moment, steps: list[Step]
) -> Verdict | None:
    if not moment.fresh:
        due_at = moment.now if moment.release else moment.now + trigger.delay
        return _wait(Reason.WAITING_FOR_CUSTOMERS, due_at, steps)
    customer = ledger.customers.get((occasion.workspace, occasion.customer_id))
    if customer is not None and customer.state == "erased":
        return _no(Reason.ERASED, steps)
    if customer is not None and customer.consent.get(CONSENT) is False:
        return _no(Reason.OPTED_OUT, steps, consent=CONSENT)
    steps.append({"step": "consent", "passed": True, "known": customer is not None})
    return None


def _of_the_definitions(
    occasion: Occasion, trigger: Trigger, book: Rulebook, moment: Moment, steps: list[Step]
) -> Verdict | None:
    if trigger.channel not in book.channels:
        return _no(Reason.UNKNOWN_CHANNEL, steps, channel=trigger.channel)
    if trigger.channel != LINK and _by_events(occasion, moment):
        return _no(Reason.CHANNEL_NEEDS_WALL_CLOCK, steps, channel=trigger.channel)
    if trigger.contact_policy not in book.policies:
        return _no(Reason.UNKNOWN_CONTACT_POLICY, steps, contact_policy=trigger.contact_policy)
    if book.surveys.get(trigger.survey) not in ("published", "active"):
        return _survey_missing(occasion, trigger, book, moment, steps)
    steps.append({"step": "survey", "passed": True, "survey": trigger.survey})
    return None


def _survey_missing(
    occasion: Occasion, trigger: Trigger, book: Rulebook, moment: Moment, steps: list[Step]
) -> Verdict:
    """A trigger that was put a moment ago may be ahead of the copy of its survey; that alone is waited for."""
    delay = trigger.delay if moment.release else timedelta(0)
    recent = moment.now < trigger.changed_at + NEW_TRIGGER
    if recent and moment.now < occasion.arrived_at + delay + COPY_GRACE:
        wait = RETRY_SURVEY if moment.release else max(trigger.delay, RETRY_SURVEY)
        return _wait(Reason.WAITING_FOR_SURVEY, moment.now + wait, steps, survey=trigger.survey)
    return _no(
        Reason.UNKNOWN_SURVEY, steps, survey=trigger.survey, state=book.surveys.get(trigger.survey)
    )


def _delay(trigger: Trigger, moment: Moment, steps: list[Step]) -> Verdict | None:
    if moment.release or not trigger.delay:
        return None
    return _wait(Reason.DELAY, moment.now + trigger.delay, steps)


def _contact_policy(
    trigger: Trigger, book: Rulebook, clock: Clock, asked_at: datetime, steps: list[Step]
) -> Verdict | None:
    if clock.last_invited_at is not None:
        until = clock.last_invited_at + book.policies[trigger.contact_policy]
        if asked_at < until:
            return _no(
                Reason.CONTACT_POLICY,
                steps,
                contact_policy=trigger.contact_policy,
                clock="after_invitation",
                until=until.isoformat(),
                last_invited_at=clock.last_invited_at.isoformat(),
                last_invitation=clock.last_invitation,
            )
    steps.append(
        {"step": Reason.CONTACT_POLICY, "passed": True, "contact_policy": trigger.contact_policy}
    )
    return None


def _note(
    occasion: Occasion, ledger: Ledger, clock: Clock, asked_at: datetime, verdict: Verdict
) -> None:
    key = (occasion.workspace, occasion.trigger, occasion.transaction_key or "")
    if verdict.outcome in (Outcome.PENDING, Outcome.INVITED):
        ledger.holds[key] = occasion.decision
    elif ledger.holds.get(key) == occasion.decision:
        del ledger.holds[key]
    if verdict.outcome is Outcome.INVITED:
        ledger.clocks[(occasion.workspace, occasion.customer_id)] = Clock(
            asked_at, occasion.decision, clock.at
        )


def _no(reason: Reason, steps: list[Step], **detail: Any) -> Verdict:
    return Verdict(
        Outcome.SUPPRESSED, reason, [*steps, {"step": reason, "passed": False, **detail}]
    )


def _wait(reason: Reason, due_at: datetime, steps: list[Step], **detail: Any) -> Verdict:
    step = {"step": reason, "passed": False, "until": due_at.isoformat(), **detail}
    return Verdict(Outcome.PENDING, reason, [*steps, step], due_at)
