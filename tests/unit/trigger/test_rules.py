"""Each step of a decision, by itself and in its order; no I/O."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.trigger.batch import complete, find_cancellations, meet, screen_all, settle_all
from services.trigger.definitions import TriggerDocument
from services.trigger.explanations import why
from services.trigger.occasions import Occasion, first_seen, snapshot_of, with_customer
from services.trigger.rulebook import Copy, Rulebook, Trigger, compile_rulebook, compile_trigger
from services.trigger.rules import decide, sampled
from services.trigger.verdicts import Clock, Ledger, Moment, Outcome, Reason, Verdict
from shared.contracts.envelope import Received
from shared.contracts.events import Event
from shared.contracts.messages import CustomerChanged
from shared.definitions import Definition
from shared.log import Record

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def definition(
    kind: str, id: str, document: Mapping[str, Any], state: str = "active"
) -> Definition:
    return Definition("acme", kind, id, 1, state, dict(document), NOW - DAY, NOW - DAY, "test")  # type: ignore[arg-type]


def document(**fields: Any) -> dict[str, Any]:
    whole = TriggerDocument.model_validate({"on": "paid", "survey": "s"} | fields)
    return whole.model_dump(mode="json", exclude_none=True)


def trigger(id: str = "t", *, state: str = "active", **fields: Any) -> Trigger:
    return compile_trigger(definition("trigger", id, document(**fields), state))


def book(*triggers: Definition, surveys: tuple[str, ...] = ("s",)) -> Rulebook:
    return compile_rulebook(triggers, [Copy("survey", id, "published", {}) for id in surveys])


def event(
    id: str = "e",
    customer: str = "ann",
    type: str = "paid",
    time: datetime | None = None,
    **data: Any,
) -> Event:
    return Event(
        specversion="1.0", id=id, source="/shop", type=type, subject=customer, time=time, data=data
    )


def occasion(
    of: Trigger,
    what: Event | None = None,
    *,
    known: CustomerChanged | None = None,
    id: str = "d",
    arrived_at: datetime = NOW,
) -> Occasion:
    first = first_seen(id, what or event(amount=10), of, arrived_at=arrived_at, traceparent=None)
    return with_customer(first, snapshot_of(known, first.customer_id), of, book())


def decided(
    of: Trigger,
    what: Event | None = None,
    *,
    ledger: Ledger | None = None,
    fresh: bool = True,
    release: bool = False,
    rules: Rulebook | None = None,
    by_events: bool = False,
    at: datetime = NOW,
    **more: Any,
) -> Verdict:
    moment = Moment(at, fresh, release, frozenset({"acme"} if by_events else ()))
    return decide(occasion(of, what, **more), of, rules or book(), ledger or Ledger(), moment)


def customer(**fields: Any) -> CustomerChanged:
    return CustomerChanged(id="ann", revision=1, changed_at=NOW, **fields)


def test_nothing_in_the_way_invites() -> None:
    verdict = decided(trigger())
    assert (verdict.outcome, verdict.reason) == (Outcome.INVITED, None)
    assert [step["step"] for step in verdict.steps] == [
        "arrival",
        "transaction",
        "consent",
        "survey",
        "contact_policy",
        "invited",
    ]


@pytest.mark.parametrize(
    ("fields", "data", "reason"),
    [
        ({"when": {"path": "data.amount", "gt": 10}}, {"amount": 10}, Reason.CONDITION),
        ({"when": {"not": {"path": "data.missing", "eq": 1}}}, {"amount": 10}, Reason.CONDITION),
        ({"when": {"path": "data.amount", "gt": 1}}, {"amount": "10"}, Reason.CONDITION),
        ({"transaction": "data.order_no"}, {"amount": 10}, Reason.NO_TRANSACTION),
        ({"transaction": "data.order_no"}, {"order_no": ""}, Reason.NO_TRANSACTION),
        ({"transaction": "data.order_no"}, {"order_no": True}, Reason.NO_TRANSACTION),
        ({"transaction": "data.order_no"}, {"order_no": {"a": 1}}, Reason.NO_TRANSACTION),
        ({"transaction": "data.order_no"}, {"order_no": "x" * 256}, Reason.NO_TRANSACTION),
        ({"sample": 0}, {}, Reason.NOT_SAMPLED),
        ({"survey": "nowhere"}, {}, Reason.UNKNOWN_SURVEY),
        ({"channel": "nowhere"}, {}, Reason.UNKNOWN_CHANNEL),
        ({"contact_policy": "nowhere"}, {}, Reason.UNKNOWN_CONTACT_POLICY),
        ({"state": "paused"}, {}, Reason.PAUSED),
    ],
)
def test_each_reason_suppresses(
    fields: dict[str, Any], data: dict[str, Any], reason: Reason
) -> None:
    verdict = decided(trigger(**fields), event(**data))
    assert (verdict.outcome, verdict.reason) == (Outcome.SUPPRESSED, reason)
    assert verdict.steps[-1]["step"] == reason
    assert json.loads(json.dumps(verdict.steps)) == verdict.steps
    sentence = why(verdict.outcome, verdict.reason, verdict.steps)
    assert sentence.endswith(".")
    assert "unknown" not in sentence.split()


def test_an_unknown_value_never_matches_and_the_trace_says_which() -> None:
    verdict = decided(trigger(when={"not": {"path": "data.missing", "eq": 1}}))
    assert verdict.steps[-1]["unknown"] == ["data.missing is missing"]
    assert "data.missing is missing" in why(verdict.outcome, verdict.reason, verdict.steps)


def test_what_arrived_before_the_trigger_was_active_has_60_seconds_of_tolerance() -> None:
    of = trigger()
    just = decided(of, arrived_at=of.active_from - timedelta(seconds=60))
    before = decided(of, arrived_at=of.active_from - timedelta(seconds=61))
    assert (just.outcome, before.reason) == (Outcome.INVITED, Reason.BEFORE_ACTIVE)
    assert decided(of, arrived_at=of.active_from - 2 * DAY, release=True).outcome is Outcome.INVITED


def test_age_is_counted_to_now_without_the_delay_that_was_asked_for() -> None:
    of = trigger(max_age="2d", delay="5d")
    assert decided(of, event(time=NOW - 2 * DAY)).reason is Reason.DELAY
    assert decided(of, event(time=NOW - 2 * DAY - timedelta(seconds=1))).reason is Reason.TOO_OLD
    assert decided(of, event(time=NOW - 7 * DAY), release=True).outcome is Outcome.INVITED
    assert decided(of, event(time=NOW - 8 * DAY), release=True).reason is Reason.TOO_OLD


def test_a_pending_decision_says_when_it_is_made() -> None:
    verdict = decided(trigger(delay="2h"))
    assert (verdict.outcome, verdict.due_at) == (Outcome.PENDING, NOW + timedelta(hours=2))
    assert decided(trigger(delay="2h"), release=True).outcome is Outcome.INVITED


def test_a_pause_holds_what_is_pending() -> None:
    verdict = decided(trigger(state="paused"), release=True)
    assert (verdict.outcome, verdict.reason, verdict.due_at) == (
        Outcome.PENDING,
        Reason.PAUSED,
        None,
    )


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"consent": {"surveys": False}}, Reason.OPTED_OUT),
        ({"state": "erased"}, Reason.ERASED),
        ({"consent": {"surveys": True}}, None),
        ({"consent": {"ads": False}}, None),
        ({}, None),
    ],
)
def test_consent(fields: dict[str, Any], reason: Reason | None) -> None:
    ledger = Ledger(customers={("acme", "ann"): customer(**fields)})
    assert decided(trigger(), ledger=ledger).reason is reason


def test_customers_that_are_not_read_far_enough_are_waited_for() -> None:
    of = trigger(when={"path": "customer.tier", "eq": "gold"})
    unknown = first_seen("d", event(), of, arrived_at=NOW, traceparent=None)
    waiting = decide(unknown, of, book(), Ledger(), Moment(NOW, fresh=False))
    assert (waiting.outcome, waiting.reason) == (Outcome.PENDING, Reason.WAITING_FOR_CUSTOMERS)
    assert decided(of, known=customer(attributes={"tier": "gold"})).outcome is Outcome.INVITED
    assert decided(trigger(delay="1h"), fresh=False).due_at == NOW + timedelta(hours=1)


def test_the_contact_policy_says_until_when() -> None:
    last = Ledger(clocks={("acme", "ann"): Clock(NOW - 29 * DAY, "earlier")})
    verdict = decided(trigger(), ledger=last)
    assert verdict.reason is Reason.CONTACT_POLICY
    assert verdict.steps[-1]["until"] == (NOW + DAY).isoformat()
    assert (
        decided(
            trigger(), ledger=Ledger(clocks={("acme", "ann"): Clock(NOW - 30 * DAY, "earlier")})
        ).outcome
        is Outcome.INVITED
    )


def test_an_own_policy_replaces_the_default() -> None:
    short = compile_rulebook(
        [definition("contact-policy", "short", {"after_invitation": "1d"})],
        [Copy("survey", "s", "published", {})],
    )
    last = Ledger(clocks={("acme", "ann"): Clock(NOW - 2 * DAY, "earlier")})
    assert (
        decided(trigger(contact_policy="short"), ledger=last, rules=short).outcome
        is Outcome.INVITED
    )


def test_a_clock_of_events_never_goes_back() -> None:
    ledger = Ledger()
    of = trigger(max_age="100d")
    invited = [
        decided(
            of, event(id=str(day), time=NOW + day * DAY), ledger=ledger, id=str(day), by_events=True
        ).outcome
        is Outcome.INVITED
        for day in (0, 40, 5, 35, 69, 70)
    ]
    assert invited == [True, True, False, False, False, True]
    assert (
        decided(of, event(id="x", time=NOW - 31 * DAY), ledger=ledger, by_events=True).reason
        is Reason.TOO_OLD
    )


@given(st.text(min_size=1, max_size=20), st.floats(0, 1))
def test_sampling_is_sticky(customer: str, sample: float) -> None:
    share = sampled("acme", "t", customer)
    assert 0 <= share < 1
    assert share == sampled("acme", "t", customer)
    verdicts = {
        decided(trigger(sample=sample), event(id=str(i), customer=customer)).reason
        for i in range(3)
    }
    assert verdicts == {None if share < sample else Reason.NOT_SAMPLED}


def test_sampling_is_fair() -> None:
    taken = sum(sampled("acme", "t", f"c{i}") < 0.3 for i in range(5_000))
    assert 1_350 < taken < 1_650


def test_a_new_trigger_waits_for_its_survey_and_an_old_one_does_not() -> None:
    new = replace(trigger(survey="soon"), changed_at=NOW - timedelta(seconds=5))
    waiting = decided(new)
    assert (waiting.outcome, waiting.reason) == (Outcome.PENDING, Reason.WAITING_FOR_SURVEY)
    assert (
        decided(new, release=True, at=NOW + timedelta(seconds=11)).reason is Reason.UNKNOWN_SURVEY
    )
    assert decided(new, rules=book(surveys=("soon",)), release=True).outcome is Outcome.INVITED


def test_a_draft_is_not_asked() -> None:
    draft = compile_rulebook([], [Copy("survey", "s", "draft", {})])
    assert decided(trigger(), rules=draft).reason is Reason.UNKNOWN_SURVEY


def fold(
    definitions: list[Definition], events: list[Event], ledger: Ledger | None = None
) -> dict[str, list[str]]:
    """Decide a batch and tell the outcomes by event, the triggers in the order of deciding."""
    books = {"acme": book(*definitions)}
    received = [
        Received(
            "acme",
            e.subject,
            e,
            Record("events", 0, i, b"", b"", (), int(NOW.timestamp() * 1000)),
            None,
        )
        for i, e in enumerate(events)
    ]
    moment = Moment(NOW, fresh=True)
    numbers = iter(range(1_000))
    candidates = meet(received, books, moment, lambda: str(next(numbers)))
    complete(candidates, {}, books, moment)
    settle_all(
        screen_all(candidates, moment),
        find_cancellations(received, books),
        books,
        ledger or Ledger(),
        moment,
    )
    found: dict[str, list[str]] = {}
    for c in candidates:
        assert c.verdict is not None
        found.setdefault(c.occasion.event, []).append(
            f"{c.trigger.id}:{c.verdict.reason or c.verdict.outcome}"
        )
    return found


def test_the_highest_priority_asks_and_the_second_event_sees_the_first_invitation() -> None:
    low, high = (
        definition("trigger", "a", document()),
        definition("trigger", "z", document(priority=9)),
    )
    assert fold([low, high], [event("1"), event("2")]) == {
        "1": ["z:invited", "a:contact_policy"],
        "2": ["z:contact_policy", "a:contact_policy"],
    }


def test_cancelling_goes_by_the_order_of_the_log() -> None:
    fields = {"transaction": "data.no", "delay": "1h", "cancel_on": ["returned"]}
    of = definition("trigger", "t", document(**fields))
    returned = event("r", type="returned", no=1)
    assert fold([of], [event("1", no=1), returned]) == {"1": ["t:cancel_on"]}
    assert fold([of], [returned, event("1", no=1)]) == {"1": ["t:cancel_on"]}
    assert fold([of], [event("1", no=2), returned, event("2", no=2)]) == {
        "1": ["t:delay"],
        "2": ["t:same_transaction"],
    }
    at_once = definition("trigger", "t", document(transaction="data.no", cancel_on=["returned"]))
    assert fold([at_once], [event("1", no=1), returned]) == {"1": ["t:invited"]}


def test_a_transaction_that_ended_without_an_invitation_is_free_again() -> None:
    of = definition("trigger", "t", document(transaction="data.no"))
    ledger = Ledger(clocks={("acme", "ann"): Clock(NOW - DAY, "earlier")})
    found = fold(
        [of],
        [event("1", no=1), event("2", customer="bob", no=1), event("3", customer="cid", no=1)],
        ledger,
    )
    assert found == {"1": ["t:contact_policy"], "2": ["t:invited"], "3": ["t:same_transaction"]}


def test_every_reason_has_a_sentence() -> None:
    for reason in Reason:
        assert why(Outcome.SUPPRESSED, reason, [{"step": reason}]) != "No reason was recorded."


def test_a_condition_may_look_at_dimensions_and_units() -> None:
    of = trigger(
        when={"path": "dimensions.org", "eq": "store-12"},
        dimensions={"org": "data.store", "product": "data.store"},
    )
    units = compile_rulebook(
        [],
        [
            Copy("unit", "cn", "active", {}),
            Copy("unit", "store-12", "active", {"parent": "cn", "aliases": ["12"]}),
        ],
    )
    what = first_seen("d", event(store=12), of, arrived_at=NOW, traceparent=None)
    seen = with_customer(what, snapshot_of(None, "ann"), of, units)
    assert seen.dimensions["org"].model_dump() == {"value": "store-12", "path": "cn/store-12"}
    assert seen.dimensions["product"].model_dump() == {"value": "12", "path": "12"}
    assert of.reads_dimensions
    assert not of.reads_customer
    assert decide(seen, of, book(), Ledger(), Moment(NOW, fresh=True)).outcome is Outcome.INVITED
