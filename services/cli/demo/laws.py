"""Holds what the system shows against what was sent: the laws that can be seen from outside. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise


@dataclass(frozen=True, slots=True)
class Decision:
    """What became of an event."""

    event: str
    outcome: str
    reason: str | None


@dataclass(frozen=True, slots=True)
class Invitation:
    """Who was asked about which order, bought when."""

    id: str
    event: str
    order: str
    customer: str
    bought_at: datetime
    link: str


@dataclass(frozen=True)
class Sent:
    """What the demo did: events acknowledged, forms accepted (by invitation), the alerts that these must raise."""

    events: frozenset[str]
    twice: frozenset[str]
    forms: frozenset[str]
    alerts: int
    policy: timedelta


@dataclass(frozen=True)
class Seen:
    """What the API and the receiver showed, after everything had come to rest."""

    decisions: Sequence[Decision]
    invitations: Sequence[Invitation]
    responses: Sequence[str]
    """The invitation of each response."""
    scored: Mapping[str, int]
    """How many answers the scores count, by each way to group them."""
    alerts: frozenset[str]
    deliveries: Mapping[str, int]
    """How many deliveries are in each state."""
    verified: frozenset[str]
    """The alerts whose webhook arrived with a genuine signature."""
    forged: int
    dead: Mapping[str, int] = field(default_factory=dict)
    """Dead letters by service."""


@dataclass(frozen=True)
class Law:
    """One law, whether it held, and the numbers that say so."""

    name: str
    held: bool
    numbers: str


def judge(sent: Sent, seen: Seen) -> list[Law]:
    """Every law that can be seen from outside."""
    return [
        _decided(sent, seen),
        _one_invitation(seen),
        _asked_once(sent, seen),
        _left_in_peace(sent, seen),
        _counted_once(sent, seen),
        _delivered(sent, seen),
        _none_dead(seen),
    ]


def _decided(sent: Sent, seen: Seen) -> Law:
    ended = {d.event for d in seen.decisions if d.outcome != "pending"}
    missing = sent.events - ended
    numbers = f"{len(sent.events & ended):,} of {len(sent.events):,} accepted events"
    return Law(
        "Every accepted event has its decision",
        not missing,
        numbers + _examples("without", missing),
    )


def _one_invitation(seen: Seen) -> Law:
    invited = sum(decision.outcome == "invited" for decision in seen.decisions)
    orders = Counter(invitation.order for invitation in seen.invitations)
    more = {order for order, n in orders.items() if n > 1}
    numbers = f"{len(seen.invitations):,} invitations for {len(orders):,} orders"
    if invited != len(seen.invitations):
        numbers += f", yet {invited:,} decisions say invited"
    held = not more and invited == len(seen.invitations)
    return Law(
        "One invitation per transaction at most", held, numbers + _examples("more than one", more)
    )


def _asked_once(sent: Sent, seen: Seen) -> Law:
    decisions = Counter(d.event for d in seen.decisions if d.event in sent.twice)
    asked = Counter(i.event for i in seen.invitations if i.event in sent.twice)
    wrong = {event for event in sent.twice if decisions[event] != 1 or asked[event] > 1}
    numbers = f"{len(sent.twice):,} sent twice, {sum(asked.values()):,} of them asked about"
    return Law("An event sent twice counts once", not wrong, numbers + _examples("wrong", wrong))


def _left_in_peace(sent: Sent, seen: Seen) -> Law:
    gaps = list(_gaps(seen.invitations))
    broken = {customer for customer, gap in gaps if gap < sent.policy}
    closest = (
        f", closest {min(gap for _, gap in gaps) / timedelta(days=1):.1f} days" if gaps else ""
    )
    name = f"Nobody is asked again within {sent.policy.days} days"
    numbers = f"{len(gaps):,} repeated invitations{closest}"
    return Law(name, not broken, numbers + _examples("too soon", broken))


def _gaps(invitations: Iterable[Invitation]) -> Iterable[tuple[str, timedelta]]:
    ordered = sorted((invitation.customer, invitation.bought_at) for invitation in invitations)
    for (customer, before), (same, after) in pairwise(ordered):
        if customer == same:
            yield customer, after - before


def _counted_once(sent: Sent, seen: Seen) -> Law:
    counts = {"responses": len(seen.responses)} | dict(seen.scored)
    wrong = [f"{name} {n:,}" for name, n in counts.items() if n != len(sent.forms)]
    each_once = Counter(seen.responses) == Counter(sent.forms)
    numbers = f"{len(sent.forms):,} forms accepted"
    numbers += (
        f", but {', '.join(wrong)}" if wrong else f" = responses = n {' = n '.join(seen.scored)}"
    )
    return Law("Every answer counts exactly once", not wrong and each_once, numbers)


def _delivered(sent: Sent, seen: Seen) -> Law:
    undelivered = sum(n for state, n in seen.deliveries.items() if state != "delivered")
    missing = seen.alerts - seen.verified
    held = len(seen.alerts) == sent.alerts and not missing and not undelivered and not seen.forged
    numbers = f"{len(seen.verified & seen.alerts):,} of {sent.alerts:,} alerts arrived with a genuine signature"
    if len(seen.alerts) != sent.alerts:
        numbers += f"; {len(seen.alerts):,} were raised"
    if undelivered:
        numbers += f"; {undelivered:,} deliveries not done"
    if seen.forged:
        numbers += f"; {seen.forged:,} not genuine"
    return Law(
        "Every alert is delivered and verified", held, numbers + _examples("missing", missing)
    )


def _none_dead(seen: Seen) -> Law:
    dead = [f"{service} {n:,}" for service, n in seen.dead.items() if n]
    return Law(
        "Nothing is in dead letters", not dead, ", ".join(dead) or f"0 in {len(seen.dead)} services"
    )


def _examples(what: str, found: Iterable[str]) -> str:
    some = sorted(found)[:3]
    return f"; {what}: {', '.join(some)}" if some else ""
