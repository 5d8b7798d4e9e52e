"""Each law is seen to hold, and to be broken by what breaks it and by nothing else."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.cli.demo.laws import Decision, Invitation, Seen, Sent, judge

START = datetime(1997, 1, 1, tzinfo=UTC)


def invitation(event: str, customer: str, day: int) -> Invitation:
    return Invitation(
        f"i{event}", event, f"CD-{event}", customer, START + timedelta(days=day), "http://x/s/t"
    )


SENT = Sent(
    events=frozenset("1234"),
    twice=frozenset({"1", "3"}),
    forms=frozenset({"i1", "i2"}),
    alerts=1,
    policy=timedelta(days=30),
)
SEEN = Seen(
    decisions=[
        Decision("1", "invited", None),
        Decision("2", "invited", None),
        Decision("3", "suppressed", "contact_policy"),
        Decision("4", "invited", None),
    ],
    invitations=[invitation("1", "a", 0), invitation("2", "b", 1), invitation("4", "a", 30)],
    responses=["i1", "i2"],
    scored={"by month": 2, "by region": 2},
    alerts=frozenset({"alert-1"}),
    deliveries={"delivered": 1},
    verified=frozenset({"alert-1"}),
    forged=0,
    dead={"ingest": 0, "trigger": 0},
)

DECIDED, INVITED, TWICE, PEACE, COUNTED, DELIVERED, DEAD = range(7)


def broken(seen: Seen) -> list[int]:
    return [index for index, law in enumerate(judge(SENT, seen)) if not law.held]


def test_all_hold() -> None:
    assert broken(SEEN) == []


@pytest.mark.parametrize(
    ("law", "change"),
    [
        (
            DECIDED,
            {
                "decisions": [
                    *SEEN.decisions[:2],
                    Decision("3", "pending", "delay"),
                    SEEN.decisions[3],
                ]
            },
        ),
        (COUNTED, {"responses": ["i1"]}),
        (COUNTED, {"responses": ["i1", "i1"]}),
        (COUNTED, {"responses": ["i1", "i2", "i2"]}),
        (COUNTED, {"scored": {"by month": 2, "by region": 3}}),
        (DELIVERED, {"alerts": frozenset()}),
        (DELIVERED, {"alerts": frozenset({"alert-1", "alert-2"})}),
        (DELIVERED, {"verified": frozenset()}),
        (DELIVERED, {"deliveries": {"failed": 1}}),
        (DELIVERED, {"forged": 1}),
        (DEAD, {"dead": {"ingest": 0, "trigger": 1}}),
        (PEACE, {"invitations": [*SEEN.invitations[:2], invitation("4", "a", 29)]}),
    ],
)
def test_one_is_broken(law: int, change: dict[str, Any]) -> None:
    assert broken(replace(SEEN, **change)) == [law]


def test_a_transaction_asked_about_twice() -> None:
    again = replace(SEEN.invitations[1], id="i9", customer="c")
    seen = replace(
        SEEN,
        decisions=[*SEEN.decisions, Decision("2", "invited", None)],
        invitations=[*SEEN.invitations, again],
    )
    assert broken(seen) == [INVITED]


def test_an_invitation_that_no_decision_knows_of() -> None:
    stray = invitation("3", "c", 5)
    assert broken(replace(SEEN, invitations=[*SEEN.invitations, stray])) == [INVITED]


def test_an_event_sent_twice_that_was_decided_twice() -> None:
    again = Decision("3", "suppressed", "same_transaction")
    assert broken(replace(SEEN, decisions=[*SEEN.decisions, again])) == [TWICE]


def test_the_numbers_name_what_is_wrong() -> None:
    laws = judge(SENT, replace(SEEN, decisions=SEEN.decisions[1:], responses=["i1"]))
    assert "3 of 4 accepted events; without: 1" in laws[DECIDED].numbers
    assert "responses 1" in laws[COUNTED].numbers
