"""Holds what the system shows against what its clients did: nothing missing, nothing extra, law by law. Pure."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.faults.ledger import Fate, Ledger
from tests.faults.shown import Response, Seen

DETRACTOR = 6
PROMOTER = 9
_ROUNDING = 0.05
_OUR_FAULT = 500
FINAL = frozenset({"invited", "suppressed", "cancelled", "no_trigger", "dead_lettered"})


@dataclass(frozen=True)
class Violation:
    """A law that did not hold, by its number in the design, and where."""

    law: int
    what: str

    def __str__(self) -> str:
        return f"law {self.law}: {self.what}"


def check(ledger: Ledger, seen: Seen) -> list[Violation]:
    """Every law that can be seen from outside, in both directions."""
    return [
        *_each_event_is_decided(ledger, seen),
        *_decisions_are_of_events(ledger, seen),
        *_invited_once(ledger, seen),
        *_answers_are_kept(ledger, seen),
        *_responses_are_answers(ledger, seen),
        *_counted_once(seen),
        *_alerts_are_raised(seen),
        *_alerts_are_delivered(seen),
        *_bodies_do_not_change(seen),
        *_poison_is_kept(ledger, seen),
        *_told_with_uncertainty(seen),
        *_away_is_503(ledger),
        *((Violation(8, f"{seen.foreign} rows shown to others"),) if seen.foreign else ()),
    ]


def _each_event_is_decided(ledger: Ledger, seen: Seen) -> Iterator[Violation]:
    decided = {d.event for d in seen.decisions}
    for event in ledger.events.values():
        if event.fate is Fate.OK and event.id not in decided:
            yield Violation(1, f"event {event.id} was accepted and has no decision")
        if event.fate is Fate.FAILED and event.id in decided:
            yield Violation(6, f"event {event.id} was refused and has a decision")


def _decisions_are_of_events(ledger: Ledger, seen: Seen) -> Iterator[Violation]:
    for decision in seen.decisions:
        if decision.outcome not in FINAL:
            yield Violation(1, f"event {decision.event} stays {decision.outcome}")
        if decision.event not in ledger.events:
            yield Violation(1, f"event {decision.event} was never sent")
        if not decision.why:
            yield Violation(4, f"no reason for what was decided about {decision.event}")
    for (event_id, trigger), n in Counter((d.event, d.trigger) for d in seen.decisions).items():
        if n > 1:
            yield Violation(4, f"{n} decisions of {trigger} about {event_id}")


def _invited_once(ledger: Ledger, seen: Seen) -> Iterator[Violation]:
    for what in ("transaction", "customer"):
        for name, n in Counter(getattr(i, what) for i in seen.invitations).items():
            if n > 1:
                yield Violation(2, f"{n} invitations for {what} {name}")
    asked = {invitation.customer for invitation in seen.invitations}
    sure = {event.customer for event in ledger.events.values() if event.fate is Fate.OK}
    possible = {event.customer for event in ledger.events.values() if event.fate is not Fate.FAILED}
    for customer in sure - asked:
        yield Violation(1, f"customer {customer} bought and was not asked")
    for customer in asked - possible:
        yield Violation(2, f"customer {customer} was asked about nothing")


def _answers_are_kept(ledger: Ledger, seen: Seen) -> Iterator[Violation]:
    stored = {response.invitation for response in seen.responses}
    for answer in ledger.answers.values():
        if answer.fate is Fate.OK and answer.invitation not in stored:
            yield Violation(1, f"the answer to {answer.invitation} was taken and is not there")


def _responses_are_answers(ledger: Ledger, seen: Seen) -> Iterator[Violation]:
    for response in seen.responses:
        answer = ledger.answers.get(response.invitation)
        if answer is None or answer.fate is Fate.FAILED:
            yield Violation(3, f"response {response.id} was never given")
        elif answer.score != response.score:
            yield Violation(3, f"response {response.id} holds {response.score} for {answer.score}")
        if response.state != "submitted" or response.customer is None:
            yield Violation(9, f"response {response.id} stays {response.state}")
    for invitation, n in Counter(r.invitation for r in seen.responses).items():
        if n > 1:
            yield Violation(3, f"invitation {invitation} has {n} responses")


def _counted_once(seen: Seen) -> Iterator[Violation]:
    counted = seen.score.n if seen.score else 0
    if counted != len(seen.responses):
        yield Violation(3, f"{counted} responses are counted of {len(seen.responses)}")
    elif seen.score and abs(seen.score.value - _nps(seen.responses)) > _ROUNDING:
        yield Violation(
            3, f"the score is {seen.score.value}, and {_nps(seen.responses):.2f} counted"
        )


def _nps(responses: Sequence[Response]) -> float:
    promoters = sum(response.score >= PROMOTER for response in responses)
    detractors = sum(response.score <= DETRACTOR for response in responses)
    return 100 * (promoters - detractors) / len(responses)


def _alerts_are_raised(seen: Seen) -> Iterator[Violation]:
    unhappy = {r.id for r in seen.responses if r.score <= DETRACTOR}
    raised = Counter(alert.response for alert in seen.alerts)
    for response, n in raised.items():
        if n > 1:
            yield Violation(5, f"{n} alerts about response {response}")
    for response in unhappy - raised.keys():
        yield Violation(5, f"response {response} raised no alert")
    for response in raised.keys() - unhappy:
        yield Violation(5, f"response {response} raised an alert for nothing")


def _alerts_are_delivered(seen: Seen) -> Iterator[Violation]:
    arrived = {hook.alert for hook in seen.hooks if hook.genuine and hook.taken}
    for alert in seen.alerts:
        if alert.id not in arrived:
            yield Violation(5, f"alert {alert.id} was delivered to nobody")
    for hook in seen.hooks:
        if not hook.genuine:
            yield Violation(5, f"webhook {hook.id} is not signed as it should be")


def _bodies_do_not_change(seen: Seen) -> Iterator[Violation]:
    bodies: dict[str, set[bytes]] = {}
    ids: dict[str, set[str]] = {}
    for hook in seen.hooks:
        bodies.setdefault(hook.id, set()).add(hook.body)
        ids.setdefault(hook.alert, set()).add(hook.id)
    for id, different in bodies.items():
        if len(different) > 1:
            yield Violation(5, f"webhook {id} came with {len(different)} bodies")
    for alert_id, under in ids.items():
        if len(under) > 1:
            yield Violation(5, f"alert {alert_id} came under {len(under)} ids")


def _poison_is_kept(ledger: Ledger, seen: Seen) -> Iterator[Violation]:
    for service, n in seen.dead.items():
        if n != ledger.letters[service]:
            yield Violation(6, f"{n} dead letters in {service}, not {ledger.letters[service]}")


def _away_is_503(ledger: Ledger) -> Iterator[Violation]:
    for status, n in ledger.statuses.items():
        if status == _OUR_FAULT:
            yield Violation(10, f"{n} calls were answered {status}")


def _told_with_uncertainty(seen: Seen) -> Iterator[Violation]:
    if seen.score and not seen.score.low <= seen.score.value <= seen.score.high:
        yield Violation(7, f"{seen.score.value} is outside its interval")
