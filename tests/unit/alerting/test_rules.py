"""What raises an alert and what withdraws it, in any order of arrival, and what an attempt leads to."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import count, permutations
from typing import Any

import pytest

from services.alerting.definitions import condition_of
from services.alerting.rules.judging import Alert, Rule, Seen, Verdict, body_of, facts, judge
from services.alerting.rules.sending import Pace, Room, Standing, after_attempt, rooms
from shared.contracts.messages import AlertRaised, AlertWithdrawn, ResponseChanged
from shared.contracts.values import Answer, QuestionKind
from shared.webhook import Reply
from tests.unit.alerting.responses import NOW, response


def a_rule(id: str = "unhappy", **fields: Any) -> Rule:
    values: dict[str, Any] = {
        "workspace": "acme",
        "id": id,
        "active": True,
        "active_from": NOW - timedelta(days=1),
        "severity": "normal",
        "name": {},
        "condition": condition_of({"path": "answers.recommend", "lte": 6}),
    }
    return Rule(**values | fields)


def seen(
    message: ResponseChanged, at: datetime = NOW, workspace: str = "acme", trace: str | None = None
) -> Seen:
    return Seen(workspace, message, at, trace)


def judged(
    *batch: Seen,
    rules: Sequence[Rule] | None = None,
    alerts: Sequence[Alert] = (),
    before: dict[tuple[str, str], int] | None = None,
) -> Verdict:
    ids = (f"a{n}" for n in count(1))
    known = [a_rule()] if rules is None else rules
    return judge(batch, before or {}, known, alerts, NOW, lambda: next(ids))


def said(verdict: Verdict) -> list[tuple[str, str, int]]:
    return [(a.alert.rule, a.type, a.alert.sequence) for a in verdict.announcements]


def test_a_match_raises_one_alert() -> None:
    verdict = judged(seen(response(score=6), trace="00-t"), seen(response("r2", score=7)))

    [alert] = verdict.alerts.values()
    assert (alert.response.id, alert.state, alert.revision, alert.sequence) == (
        "r1",
        "raised",
        1,
        1,
    )
    [announcement] = verdict.announcements
    assert announcement.message_id == "a1-1"
    assert announcement.traceparent == "00-t"
    message = announcement.message()
    assert type(message) is AlertRaised
    assert (message.id, message.rule, message.revision) == ("a1", "unhappy", 1)
    assert verdict.judged == {("acme", "r1"): 1, ("acme", "r2"): 1}


def test_the_same_revision_is_judged_once() -> None:
    one = seen(response())
    assert len(judged(one, one).announcements) == 1
    again = judged(one, before={("acme", "r1"): 1})
    assert (again.announcements, again.alerts, again.judged) == ([], {}, {})


def test_each_rule_raises_its_own_alert() -> None:
    verdict = judged(seen(response()), rules=[a_rule("b"), a_rule("a"), a_rule("c", active=False)])
    assert said(verdict) == [("a", "alert.raised", 1), ("b", "alert.raised", 1)]


def test_a_rule_of_another_workspace_does_not_look() -> None:
    assert judged(seen(response()), rules=[a_rule(workspace="other")]).alerts == {}


def test_an_edit_that_no_longer_matches_withdraws() -> None:
    raised = judged(seen(response(score=3)))
    verdict = judged(
        seen(response(score=9, revision=2)),
        alerts=list(raised.alerts.values()),
        before=raised.judged,
    )

    assert said(verdict) == [("unhappy", "alert.withdrawn", 2)]
    [alert] = verdict.alerts.values()
    assert (alert.id, alert.state, alert.revision) == ("a1", "withdrawn", 2)
    assert type(verdict.announcements[0].message()) is AlertWithdrawn


def test_an_edit_that_still_matches_says_nothing_and_is_remembered() -> None:
    verdict = judged(seen(response(score=3)), seen(response(score=2, revision=2)))
    assert said(verdict) == [("unhappy", "alert.raised", 1)]
    [alert] = verdict.alerts.values()
    assert (alert.revision, alert.response.answers[0].value) == (2, 2)


def test_a_match_after_a_withdrawal_raises_the_same_alert_again() -> None:
    verdict = judged(*(seen(response(score=s, revision=n)) for n, s in enumerate([3, 9, 1], 1)))
    assert said(verdict) == [
        ("unhappy", "alert.raised", 1),
        ("unhappy", "alert.withdrawn", 2),
        ("unhappy", "alert.raised", 3),
    ]
    assert [a.message_id for a in verdict.announcements] == ["a1-1", "a1-2", "a1-3"]


def test_what_is_announced_does_not_depend_on_how_the_log_was_cut() -> None:
    log = [seen(response(score=s, revision=n)) for n, s in enumerate([3, 9, 9, 1, 2, 8], 1)]
    whole = said(judged(*log))
    for cut in range(1, len(log)):
        first = judged(*log[:cut])
        rest = judged(*log[cut:], alerts=list(first.alerts.values()), before=first.judged)
        assert said(first) + said(rest) == whole


@pytest.mark.parametrize("order", list(permutations([1, 2, 3])))
def test_in_any_order_of_arrival_the_newest_revision_decides(order: tuple[int, ...]) -> None:
    scores = {1: 3, 2: 2, 3: 9}
    verdict = judged(*(seen(response(score=scores[n], revision=n)) for n in order))
    states = [alert.state for alert in verdict.alerts.values()]
    assert states in ([], ["withdrawn"])
    assert verdict.judged == {("acme", "r1"): 3}


def test_a_deletion_withdraws_even_without_the_rule() -> None:
    raised = judged(seen(response()))
    deleted = seen(response(revision=2, state="deleted"))
    verdict = judged(deleted, rules=[], alerts=list(raised.alerts.values()), before=raised.judged)
    assert said(verdict) == [("unhappy", "alert.withdrawn", 2)]


def test_a_deleted_response_raises_nothing() -> None:
    assert judged(seen(response(state="deleted"))).alerts == {}


def test_a_paused_rule_withdraws_and_does_not_raise() -> None:
    raised = judged(seen(response()))
    paused = [a_rule(active=False)]
    verdict = judged(
        seen(response(score=9, revision=2)),
        seen(response(score=1, revision=3)),
        rules=paused,
        alerts=list(raised.alerts.values()),
        before=raised.judged,
    )
    assert said(verdict) == [("unhappy", "alert.withdrawn", 2)]


def test_a_deleted_rule_leaves_its_alerts_as_they_are() -> None:
    raised = judged(seen(response()))
    verdict = judged(
        seen(response(score=9, revision=2)),
        rules=[],
        alerts=list(raised.alerts.values()),
        before=raised.judged,
    )
    assert said(verdict) == []
    assert [alert.state for alert in verdict.alerts.values()] == ["raised"]


@pytest.mark.parametrize(("seconds", "alerts"), [(-61, 0), (-60, 1), (0, 1)])
def test_a_rule_acts_on_what_arrived_after_it(seconds: int, alerts: int) -> None:
    arrived = seen(response(), at=NOW + timedelta(seconds=seconds))
    assert len(judged(arrived, rules=[a_rule(active_from=NOW)]).alerts) == alerts


def test_an_unknown_answer_never_matches() -> None:
    rule = a_rule(condition=condition_of({"not": {"path": "answers.other", "gt": 3}}))
    assert judged(seen(response()), rules=[rule]).alerts == {}


def test_conditions_read_all_that_the_response_was_joined_with() -> None:
    reasons = Answer(
        question="reasons", kind=QuestionKind.CHOICE, metric="m", scale="many", value=("a", "b")
    )
    found = facts(response(answers=(reasons,)))
    assert found["event"]["type"] == "shop.purchase.completed"
    assert found["data"] == {"order_no": "9", "amount": 12}
    assert found["customer"]["segment"] == "gold"
    assert found["customer"]["id"] == "c1"
    assert found["dimensions"] == {"org": "store-12"}
    assert found["answers"] == {"reasons": ["a", "b"]}


def test_a_response_without_customer_or_transaction_is_judged_too() -> None:
    verdict = judged(seen(response(customer=None, transaction=None)))
    body = body_of(verdict.announcements[0])
    assert body["data"]["customer"] is None
    assert body["data"]["transaction"] is None


DUE = NOW - timedelta(minutes=1)
PENDING = Standing("pending", None, DUE)


def a_reply(status: int | None = 500, error: str | None = None, **fields: Any) -> Reply:
    return Reply(status, error, "", fields.pop("retry_after", None), 0.1, **fields)


def test_the_schedule_has_ten_attempts_and_then_the_dead_letter_list() -> None:
    waits = []
    for spent in range(1, 11):
        after = after_attempt(PENDING, spent, a_reply(), NOW, 0.5)
        if after.state == "pending":
            waits.append((after.due_at - NOW).total_seconds())
    assert waits == [5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400]
    assert after_attempt(PENDING, 10, a_reply(), NOW, 0.5) == Standing("failed", "exhausted", DUE)


@pytest.mark.parametrize(("jitter", "seconds"), [(0.0, 4.0), (0.5, 5.0), (1.0, 6.0)])
def test_jitter_spreads_the_schedule(jitter: float, seconds: float) -> None:
    assert after_attempt(PENDING, 1, a_reply(), NOW, jitter).due_at == NOW + timedelta(
        seconds=seconds
    )


def test_the_reason_of_the_last_failure_is_kept() -> None:
    assert after_attempt(PENDING, 1, a_reply(503), NOW, 0).reason == "the receiver answered 503"
    refused = a_reply(None, "10.0.0.1 cannot be called")
    assert after_attempt(PENDING, 1, refused, NOW, 0).reason == "10.0.0.1 cannot be called"


def test_gone_fails_at_once() -> None:
    assert after_attempt(PENDING, 1, a_reply(410), NOW, 0) == Standing("failed", "gone", DUE)


@pytest.mark.parametrize("state", ["delivered", "cancelled", "failed"])
def test_what_was_settled_meanwhile_stays(state: str) -> None:
    settled = Standing(state, "why", DUE)
    assert after_attempt(settled, 2, a_reply(), NOW, 0) == settled
    assert after_attempt(settled, 2, a_reply(410), NOW, 0) == settled


A, B, C = ("acme", "a"), ("acme", "b"), ("other", "a")


FULL = Pace(16, 8)


def test_places_are_shared_evenly_among_lanes() -> None:
    paces = {A: FULL, B: FULL, C: FULL}
    assert rooms([A, B], {}, paces, 200) == [Room(A, 100), Room(B, 100)]
    assert rooms([A, B, C], {A: 60}, paces, 200) == [Room(A, 67), Room(B, 67), Room(C, 66)]
    assert rooms([A, B, C], {}, paces, 2) == [Room(A, 1), Room(B, 1)]


def test_a_full_lane_and_a_full_process_claim_nothing() -> None:
    assert rooms([A, B], {A: 128}, {A: FULL, B: FULL}, 50) == [Room(B, 50)]
    assert rooms([A], {A: 1}, {A: Pace(1, 1)}, 50) == []
    assert rooms([A], {}, {}, 0) == []
    assert rooms([], {}, {}, 10) == []


def test_who_still_holds_enough_to_send_is_not_claimed_for_in_driblets() -> None:
    paces = {A: FULL, B: FULL}
    assert rooms([A, B], {A: 97}, paces, 200) == [Room(B, 128)]
    assert rooms([A], {A: 96}, paces, 100) == [Room(A, 32)]
    assert rooms([A], {A: 96}, paces, 99) == []
    assert rooms([A, B], {A: 96, B: 15}, paces, 5) == [Room(B, 5)]


def test_a_new_endpoint_starts_low() -> None:
    assert rooms([A], {}, {}, 200) == [Room(A, 4)]


def test_a_receiver_that_hangs_holds_few_connections_and_a_quick_one_many() -> None:
    hangs = a_reply(None, "no complete answer", timed_out=True)
    slow = Reply(200, None, "", None, 3.0)
    pace = Pace()
    for _ in range(10):
        pace = pace.after(hangs)
    assert pace == Pace(1, 1)
    for _ in range(40):
        pace = pace.after(a_reply(200))
    assert pace == Pace(16, 16)
    assert pace.after(slow) == Pace(16, 1)
