"""What waits to be sent: each endpoint in turn, none beyond its pace."""

from datetime import UTC, datetime

from services.alerting.queues import Leased, Queues
from services.alerting.store.claims import Claimed
from services.alerting.store.endpoints import Endpoint
from shared.webhook import Reply

AT = datetime(2026, 1, 1, tzinfo=UTC)
QUICK = Reply(204, None, "", None, 0.01)
HUNG = Reply(None, "no complete answer within 15 seconds", "", None, 15.0, timed_out=True)
NEW = 4
"""How many a new endpoint is sent at once."""


def filled(**waiting: int) -> Queues:
    queues = Queues()
    for endpoint, count in waiting.items():
        target = Endpoint("acme", endpoint, 1, "active", "https://example.com", ("alert.*",), AT)
        for n in range(count):
            claimed = Claimed(
                "acme", f"{endpoint}{n}", f"m{n}", b"{}", None, target, ("secret",), 0
            )
            queues.add(Leased(claimed, AT, 0.0))
    return queues


def taken(queues: Queues) -> list[str]:
    """The deliveries that may be sent now."""
    ids = []
    while (one := queues.take()) is not None:
        ids.append(one[1].claimed.id)
    return ids


def test_endpoints_are_served_in_turn_and_none_beyond_its_pace() -> None:
    queues = filled(crm=9, erp=2, bi=1)
    assert taken(queues) == ["crm0", "erp0", "bi0", "crm1", "erp1", "crm2", "crm3"]
    assert queues.held() == {("acme", "crm"): 9, ("acme", "erp"): 2, ("acme", "bi"): 1}


def test_what_has_ended_makes_room_for_what_waits() -> None:
    queues = filled(crm=9)
    queue, _ = queues.take() or (None, None)
    assert queue is not None
    assert taken(queues) == ["crm1", "crm2", "crm3"]
    queues.ended(queue, None)
    assert taken(queues) == ["crm4"], "without a reply the pace stays"
    queues.ended(queue, QUICK)
    assert taken(queues) == ["crm5", "crm6"], "a quick reply lets one more be sent at once"
    assert queues.held() == {("acme", "crm"): 7}


def test_a_receiver_that_hangs_is_sent_fewer_at_once() -> None:
    queues = filled(crm=9)
    queue, _ = queues.take() or (None, None)
    assert queue is not None
    assert len(taken(queues)) == NEW - 1
    queues.ended(queue, HUNG)
    assert taken(queues) == []
    assert queues.paces()["acme", "crm"].width == NEW // 2


def test_what_waits_can_be_given_back_and_what_is_sent_cannot() -> None:
    queues = filled(crm=6, erp=1)
    sent = taken(queues)
    given = [leased.claimed.id for leased in queues.give_back()]
    assert sorted(sent + given) == [*(f"crm{n}" for n in range(6)), "erp0"]
    assert given == ["crm4", "crm5"]
    assert taken(queues) == []
    assert sum(queues.held().values()) == len(sent)
