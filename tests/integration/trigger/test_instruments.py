"""What trigger is measured by: each decision and each state once it is committed, and how soon customers are asked."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.integration.trigger.conftest import Bench
from tests.support import Told


async def test_an_invitation_is_as_late_as_its_event_is_old(bench: Bench) -> None:
    await bench.trigger()
    told = Told()
    arrived_at = datetime.now(UTC) - timedelta(seconds=7)
    batch = [bench.event("e1", arrived_at=arrived_at), bench.event("e2", "bob"), bench.event("e3")]
    await bench.handlers.events(batch)
    await bench.handlers.events(batch)  # a replay tells nothing

    assert told("accepted_to_invited_seconds_count") == 2
    assert told("accepted_to_invited_seconds_bucket", le="5.0") == 1
    assert 7 <= told("accepted_to_invited_seconds_sum") < 12
    assert told("due_to_invited_seconds_count") == 0
    assert told("decisions_total", outcome="invited", reason="") == 2
    assert told("decisions_total", outcome="suppressed", reason="contact_policy") == 1
    assert told("invitations_total", state="sent") == 2


async def test_a_delay_that_was_asked_for_is_not_lateness(bench: Bench) -> None:
    await bench.trigger(delay="1h")
    told = Told()
    await bench.handlers.events([bench.event("e1")])
    assert told("decisions_total", outcome="pending", reason="delay") == 1
    await bench.make_due()
    await bench.release()

    assert told("accepted_to_invited_seconds_count") == 0
    assert told("due_to_invited_seconds_count") == 1
    assert told("decisions_total", outcome="invited", reason="") == 1


async def test_waiting_for_our_copy_of_the_customers_is(bench: Bench) -> None:
    await bench.trigger()
    await bench.set_fresh(timedelta(minutes=5))
    told = Told()
    arrived_at = datetime.now(UTC) - timedelta(seconds=40)
    await bench.handlers.events([bench.event("e1", arrived_at=arrived_at)])
    assert told("decisions_total", outcome="pending", reason="waiting_for_customers") == 1
    await bench.set_fresh()
    await bench.release()

    assert told("accepted_to_invited_seconds_count") == 1
    assert told("accepted_to_invited_seconds_sum") >= 40
    assert told("due_to_invited_seconds_count") == 0


async def test_what_an_event_cancels_and_an_answer_ends_is_counted(bench: Bench) -> None:
    await bench.trigger(delay="1h", transaction="data.order_no", cancel_on=[{"on": "returned"}])
    await bench.trigger("now")
    told = Told()
    await bench.handlers.events([bench.event("e1")])
    await bench.handlers.events([bench.event("e2", type="returned", data={"order_no": "e1"})])
    assert told("decisions_total", outcome="cancelled", reason="cancel_on") == 1

    (invitation,) = await bench.rows("invitations")
    await bench.handlers.responses([bench.response(invitation.id)])
    await bench.handlers.responses([bench.response(invitation.id)])
    assert told("invitations_total", state="answered") == 1


async def test_what_is_rolled_back_is_not_counted(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_point: object) -> None:
        raise RuntimeError("before the commit")

    await bench.trigger()
    told = Told()
    monkeypatch.setattr("services.trigger.worker.crash.point", fail)
    with pytest.raises(RuntimeError, match="before the commit"):
        await bench.handlers.events([bench.event("e1")])

    assert told("invitations_total", state="sent") == 0
    assert told("decisions_total", outcome="invited", reason="") == 0
    assert told("accepted_to_invited_seconds_count") == 0
