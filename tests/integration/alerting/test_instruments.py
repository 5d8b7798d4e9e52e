"""What alerting is measured by: how deliveries end, and how soon after the answer they arrive."""

from datetime import UTC, datetime, timedelta

from tests.integration.alerting.conftest import Alerting
from tests.integration.alerting.receivers import ERROR, GONE, OK, receiving
from tests.support import Told, eventually
from tests.unit.alerting.responses import received, response


async def test_a_delivery_is_as_late_as_its_answer_is_old(alerting: Alerting) -> None:
    async with receiving() as receiver:
        await alerting.put_rule()
        await alerting.put_endpoint(receiver.url)
        told = Told()
        answered_at = datetime.now(UTC)
        await alerting.handle(received(response(changed_at=answered_at)))
        async with alerting.dispatching():
            await alerting.settled("delivered")

        assert told("alerts_total", type="alert.raised") == 1
        assert told("deliveries_total", outcome="delivered") == 1
        assert told("answered_to_delivered_seconds_count") == 1
        most = (datetime.now(UTC) - answered_at).total_seconds()
        assert 0 < told("answered_to_delivered_seconds_sum") <= most


async def test_what_the_receiver_delayed_is_not_our_lateness(alerting: Alerting) -> None:
    async with receiving(ERROR, OK) as receiver:
        await alerting.put_rule()
        await alerting.put_endpoint(receiver.url)
        told = Told()
        await alerting.handle(received(response(changed_at=datetime.now(UTC))))
        async with alerting.dispatching():
            [pending] = await alerting.deliveries()
            await alerting.attempted(pending["id"], 1)
            await alerting.make_due()
            await alerting.settled("delivered")

    assert told("deliveries_total", outcome="delivered") == 1
    assert told("answered_to_delivered_seconds_count") == 0


async def test_what_waited_for_its_endpoint_is_not_either(alerting: Alerting) -> None:
    async with receiving() as receiver:
        await alerting.put_rule()
        await alerting.put_endpoint(receiver.url, state="paused")
        told = Told()
        before = datetime.now(UTC) - timedelta(minutes=5)
        await alerting.handle(received(response(changed_at=before)))
        await alerting.put_endpoint(receiver.url)
        async with alerting.dispatching():
            await alerting.settled("delivered")

    assert told("deliveries_total", outcome="delivered") == 1
    assert told("answered_to_delivered_seconds_count") == 0


async def test_a_410_is_counted_once_for_its_endpoint(alerting: Alerting) -> None:
    async with receiving(GONE) as receiver:
        await alerting.put_rule()
        await alerting.put_endpoint(receiver.url)
        told = Told()
        await alerting.handle(*(received(response(f"r{n}")) for n in range(3)))
        async with alerting.dispatching():
            await alerting.settled("failed")

            async def counted() -> bool:
                return told("endpoints_paused_total") == 1

            await eventually(counted, what="the pause was counted")
        assert told("deliveries_total", outcome="gone") == len(
            await alerting.deliveries(state="failed")
        )
    assert told("deliveries_total", outcome="delivered") == 0


async def test_an_exhausted_delivery_is_counted(alerting: Alerting) -> None:
    async with receiving(ERROR) as receiver:
        await alerting.put_rule()
        await alerting.put_endpoint(receiver.url)
        told = Told()
        await alerting.handle(received(response()))
        [pending] = await alerting.deliveries()
        async with alerting.dispatching():
            for attempt in range(1, 11):
                await alerting.attempted(pending["id"], attempt)
                await alerting.make_due()
            await alerting.settled("failed")
    assert told("deliveries_total", outcome="exhausted") == 1
    assert told("delivery_attempts_total", service="alerting", outcome="retry") == 10
