"""The checker of the laboratory finds each kind of wrong, and nothing in what is right."""

from dataclasses import replace

import pytest

from tests.faults.laws import check
from tests.faults.ledger import Fate, Ledger
from tests.faults.shown import Alert, Decision, Hook, Invitation, Response, Score, Seen


def ledger() -> Ledger:
    """A purchase that was taken, one refused and one in doubt; two answers, one of them in doubt."""
    made = Ledger()
    made.posted("e1", "ann", "o1", Fate.OK)
    made.posted("e2", "bob", "o2", Fate.FAILED)
    made.posted("e3", "cho", "o3", Fate.UNKNOWN)
    made.answered("i1", 2, Fate.OK)
    made.answered("i3", 9, Fate.UNKNOWN)
    return made


HOOK = Hook("a1-1", "a1", b"body", genuine=True)
RIGHT = Seen(
    decisions=[Decision("e1", "t", "invited", "asked"), Decision("e3", "t", "invited", "asked")],
    invitations=[Invitation("i1", "ann", "o1"), Invitation("i3", "cho", "o3")],
    responses=[Response("r1", "i1", "ann", 2, "submitted")],
    score=Score(1, -100.0, -100.0, -20.0),
    alerts=[Alert("a1", "r1")],
    hooks=[HOOK, HOOK],
    dead={"trigger": 0},
)
SECOND = Response("r3", "i3", "cho", 9, "submitted")


def test_nothing_is_wrong_with_what_is_right() -> None:
    assert check(ledger(), RIGHT) == []


def test_what_is_in_doubt_may_have_happened_or_not() -> None:
    without = replace(RIGHT, decisions=RIGHT.decisions[:1], invitations=RIGHT.invitations[:1])
    assert check(ledger(), without) == []
    both = replace(RIGHT, responses=[*RIGHT.responses, SECOND], score=Score(2, 0.0, -70.0, 70.0))
    assert check(ledger(), both) == []


WRONG = {
    "an event without a decision": (1, replace(RIGHT, decisions=RIGHT.decisions[1:])),
    "a decision that stays": (
        1,
        replace(RIGHT, decisions=[Decision("e1", "t", "pending", "waits"), RIGHT.decisions[1]]),
    ),
    "a decision about nothing": (
        1,
        replace(RIGHT, decisions=[*RIGHT.decisions, Decision("e9", "t", "invited", "asked")]),
    ),
    "a customer who was not asked": (1, replace(RIGHT, invitations=RIGHT.invitations[1:])),
    "two invitations for a transaction": (
        2,
        replace(RIGHT, invitations=[*RIGHT.invitations, Invitation("i4", "dan", "o1")]),
    ),
    "a customer asked twice": (
        2,
        replace(RIGHT, invitations=[*RIGHT.invitations, Invitation("i4", "ann", "o4")]),
    ),
    "an answer that is lost": (1, replace(RIGHT, responses=[], score=None, alerts=[], hooks=[])),
    "an answer that nobody gave": (
        3,
        replace(RIGHT, responses=[*RIGHT.responses, replace(SECOND, invitation="i9")]),
    ),
    "another answer than was given": (
        3,
        replace(RIGHT, responses=[replace(RIGHT.responses[0], score=3)]),
    ),
    "an answer counted twice": (3, replace(RIGHT, score=Score(2, -100.0, -100.0, -20.0))),
    "a wrong score": (3, replace(RIGHT, score=Score(1, 0.0, -70.0, 70.0))),
    "a decision without a reason": (
        4,
        replace(RIGHT, decisions=[Decision("e1", "t", "invited", ""), RIGHT.decisions[1]]),
    ),
    "two decisions of one trigger": (4, replace(RIGHT, decisions=[*RIGHT.decisions] * 2)),
    "no alert": (5, replace(RIGHT, alerts=[], hooks=[])),
    "two alerts": (5, replace(RIGHT, alerts=[*RIGHT.alerts, Alert("a2", "r1")])),
    "an alert that did not arrive": (5, replace(RIGHT, hooks=[])),
    "an alert that was turned away": (5, replace(RIGHT, hooks=[replace(HOOK, taken=False)])),
    "a webhook that is not signed": (5, replace(RIGHT, hooks=[replace(HOOK, genuine=False)])),
    "a webhook with two bodies": (5, replace(RIGHT, hooks=[HOOK, replace(HOOK, body=b"other")])),
    "an alert under two ids": (5, replace(RIGHT, hooks=[HOOK, replace(HOOK, id="a1-2")])),
    "a refused event that was taken": (
        6,
        replace(RIGHT, decisions=[*RIGHT.decisions, Decision("e2", "t", "suppressed", "no")]),
    ),
    "a dead letter": (6, replace(RIGHT, dead={"trigger": 1})),
    "a score outside its interval": (7, replace(RIGHT, score=Score(1, -100.0, -90.0, -20.0))),
    "rows shown to strangers": (8, replace(RIGHT, foreign=1)),
    "an answer that stays parked": (
        9,
        replace(RIGHT, responses=[replace(RIGHT.responses[0], state="parked")]),
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_wrong_is_found_under_its_law(wrong: str) -> None:
    law, seen = WRONG[wrong]
    assert law in {violation.law for violation in check(ledger(), seen)}
