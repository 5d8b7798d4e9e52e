"""Alerts delivered to receivers on real sockets, well-behaved and not, on both databases."""

import asyncio
import time
from datetime import UTC, datetime, timedelta

import pytest
from standardwebhooks import Webhook

from services.alerting import dispatch
from services.alerting.dispatch import Dispatcher
from services.alerting.rules.sending import Room
from services.alerting.store.claims import claim
from shared.db import now
from shared.errors import StartupError
from shared.webhook.client import WebhookClient
from tests.integration.alerting.conftest import Alerting, running
from tests.integration.alerting.receivers import ERROR, GONE, OK, receiving
from tests.unit.alerting.responses import outgoing, received, response


async def test_a_response_in_the_log_is_delivered_signed(alerting: Alerting) -> None:
    """The whole line, with every loop of the service: log, alert, delivery, and the log again."""
    async with receiving() as receiver:
        await alerting.put_rule(severity="high", name={"en": "Unhappy", "zh": "不满意"})
        await alerting.put_endpoint(receiver.url)
        async with running(alerting.service.work), alerting.log.producer() as producer:
            await producer.send([outgoing(response(score=3)), outgoing(response("r2", score=9))])
            [request] = await receiver.got(1)
            [delivery] = await alerting.settled("delivered")

    verified = Webhook(await alerting.secret()).verify(request.body, request.headers)
    [alert] = (await alerting.get("/v1/alerts"))["items"]
    assert verified["type"] == "alert.raised"
    data = verified["data"]
    assert data["alert"] == {
        "id": alert["id"],
        "sequence": 1,
        "state": "raised",
        "severity": "high",
        "raised_at": data["alert"]["raised_at"],
    }
    assert data["rule"] == {"id": "unhappy", "name": {"en": "Unhappy", "zh": "不满意"}}
    assert data["response"]["id"] == "r1"
    assert data["response"]["answers"][0]["value"] == 3
    assert data["customer"]["attributes"] == {"segment": "gold"}
    assert data["transaction"]["data"] == {"order_no": "9", "amount": 12}
    assert data["dimensions"] == {"org": {"value": "store-12", "path": "cn/store-12"}}
    assert request.webhook_id == f"{alert['id']}-1"
    assert delivery["webhook_id"] == request.webhook_id
    assert delivery["attempts"] == 1


async def raised(alerting: Alerting, url: str, count: int = 1) -> list[str]:
    """Alerts with a delivery each to an endpoint; the ids of the deliveries."""
    await alerting.put_rule()
    await alerting.put_endpoint(url)
    await alerting.handle(*(received(response(f"r{n}")) for n in range(count)))
    return [delivery["id"] for delivery in await alerting.deliveries(limit=500)]


async def test_a_failure_is_tried_again_with_the_same_id_and_body(alerting: Alerting) -> None:
    async with receiving(ERROR, OK) as receiver:
        [id] = await raised(alerting, receiver.url)
        async with alerting.dispatching():
            failed = await alerting.attempted(id, 1)
            wait = when(failed["next_attempt_at"]) - when(failed["changed_at"])
            assert wait == timedelta(seconds=5)
            assert failed["reason"] == "the receiver answered 500"
            await asyncio.sleep(1.1)  # so that the second attempt has another timestamp
            await alerting.make_due()
            await alerting.settled("delivered")

    first, second = receiver.requests
    assert first.body == second.body
    assert first.webhook_id == second.webhook_id
    assert first.headers["webhook-timestamp"] < second.headers["webhook-timestamp"]
    secret = await alerting.secret()
    for request in receiver.requests:
        Webhook(secret).verify(request.body, request.headers)
    shown = await alerting.get(f"/v1/deliveries/{id}")
    assert [(a["number"], a["status"], a["outcome"], a["body"]) for a in shown["log"]] == [
        (1, 500, "retry", "oops"),
        (2, 200, "delivered", "ok"),
    ]
    assert shown["body"] == first.json()
    assert (shown["state"], shown["reason"], shown["next_attempt_at"]) == ("delivered", None, None)


async def test_the_trace_of_an_answer_goes_on_at_the_receiver(alerting: Alerting) -> None:
    """Whether or not it is recorded here. What a client made up is not passed on as one."""
    trace = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"
    async with receiving() as receiver:
        await alerting.put_rule()
        await alerting.put_endpoint(receiver.url)
        for number, brought in enumerate((trace, "made up", None)):
            await alerting.handle(received(response(f"r{number}"), traceparent=brought))
        async with alerting.dispatching():
            requests = await receiver.got(3)
    carried = {request.json()["data"]["response"]["id"]: request.headers for request in requests}
    assert carried["r0"]["traceparent"] == trace
    assert "traceparent" not in carried["r1"]
    assert "traceparent" not in carried["r2"]


async def test_retry_after_is_obeyed(alerting: Alerting) -> None:
    busy = b"HTTP/1.1 429 Slow\r\nRetry-After: 120\r\nContent-Length: 0\r\n\r\n"
    async with receiving(busy) as receiver, alerting.dispatching():
        [id] = await raised(alerting, receiver.url)
        shown = await alerting.attempted(id, 1)
    wait = when(shown["next_attempt_at"]) - when(shown["changed_at"])
    assert wait == timedelta(seconds=120 * 1.1)


async def test_a_redirect_is_not_followed(alerting: Alerting) -> None:
    async with receiving() as other:
        moved = f"HTTP/1.1 302 Found\r\nLocation: {other.url}\r\nContent-Length: 0\r\n\r\n"
        async with receiving(moved.encode()) as receiver, alerting.dispatching():
            [id] = await raised(alerting, receiver.url)
            shown = await alerting.attempted(id, 1)
    assert other.requests == []
    assert shown["state"] == "pending"
    assert "redirects are not followed" in shown["reason"]
    assert shown["log"][0]["status"] == 302


async def test_gone_pauses_the_endpoint_and_says_why(alerting: Alerting) -> None:
    async with receiving(GONE) as receiver, alerting.dispatching():
        [id] = await raised(alerting, receiver.url)
        [failed] = await alerting.settled("failed")
        assert (failed["id"], failed["reason"]) == (id, "gone")
        endpoint = await alerting.get("/v1/endpoints/crm")
        assert (endpoint["state"], endpoint["revision"]) == ("paused", 2)
        assert "410" in endpoint["changed_by"]

        await alerting.handle(received(response("later")))
        [held] = await alerting.settled("pending")
        assert held["held"]
        receiver.behaviours = [OK]
        await alerting.put_endpoint(receiver.url)
        await alerting.settled("delivered")
    assert len(receiver.requests) == 2


async def test_what_exhausts_the_schedule_is_a_dead_letter_that_can_be_replayed(
    alerting: Alerting,
) -> None:
    async with receiving(ERROR) as receiver, alerting.dispatching():
        [id] = await raised(alerting, receiver.url)
        for attempt in range(1, 11):
            await alerting.attempted(id, attempt)
            await alerting.make_due()
        [failed] = await alerting.settled("failed")
        assert (failed["id"], failed["attempts"], failed["reason"]) == (id, 10, "exhausted")

        replayed = await alerting.call("POST", f"/v1/deliveries/{id}/replay", expect=202)
        assert replayed.json()["replayed_by"] == "key-acme"
        shown = await alerting.attempted(id, 11)
        assert shown["state"] == "pending", "a replay has a whole schedule before it"
        receiver.behaviours = [OK]
        await alerting.make_due()
        await alerting.settled("delivered")

        await alerting.call("POST", f"/v1/deliveries/{id}/replay", expect=202)
        shown = await alerting.attempted(id, 13)
    assert len({request.webhook_id for request in receiver.requests}) == 1
    assert len({request.body for request in receiver.requests}) == 1
    assert [attempt["number"] for attempt in shown["log"]] == list(range(1, 14))


async def test_all_that_failed_for_an_endpoint_is_replayed_by_time(alerting: Alerting) -> None:
    async with receiving(GONE) as receiver:
        await raised(alerting, receiver.url, 3)
        async with alerting.dispatching():
            await alerting.settled("failed", 3)
            receiver.behaviours = [OK]
            await alerting.put_endpoint(receiver.url)
            now = datetime.now(UTC)
            hour = timedelta(hours=1)
            path = "/v1/endpoints/crm/replay"
            span = {"from": (now - hour).isoformat(), "to": (now + hour).isoformat()}
            early = {"from": (now - 2 * hour).isoformat(), "to": (now - hour).isoformat()}
            missed = await alerting.call("POST", path, json=early, expect=202)
            assert missed.json() == {"replayed": 0}
            answer = await alerting.call("POST", path, json=span, expect=202)
            assert answer.json() == {"replayed": 3}
            await alerting.settled("delivered", 3)


async def drip(writer: asyncio.StreamWriter) -> None:
    """An answer that never comes to its end."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    while not writer.is_closing():
        writer.write(b".")
        await writer.drain()
        await asyncio.sleep(0.05)


async def test_a_slow_receiver_does_not_delay_the_others(alerting: Alerting) -> None:
    async with receiving(drip) as slow, receiving() as quick:
        await alerting.put_rule()
        await alerting.put_endpoint(slow.url, "a-slow")
        await alerting.put_endpoint(quick.url, "quick")
        await alerting.handle(*(received(response(f"r{n}")) for n in range(150)))
        started = time.monotonic()
        async with alerting.dispatching(delivery_timeout_seconds=4, deliveries_in_flight=40):
            await alerting.settled("delivered", 100)
            await quick.got(150)
            assert time.monotonic() - started < 4, "the quick one waited for the slow one"
    assert len(slow.requests) <= 16


async def test_a_drip_ends_by_the_total_timeout(alerting: Alerting) -> None:
    async with receiving(drip) as receiver, alerting.dispatching(delivery_timeout_seconds=0.4):
        [id] = await raised(alerting, receiver.url)
        shown = await alerting.attempted(id, 1)
    assert shown["reason"] == "no complete answer within 0.4 seconds"
    assert shown["log"][0]["status"] == 200
    assert when(shown["next_attempt_at"]) - when(shown["changed_at"]) >= timedelta(seconds=60)


async def test_nothing_waits_for_the_poll(
    alerting: Alerting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the first of many, whose commit tells of them, nor those that there was no room for at first."""
    monkeypatch.setattr(dispatch, "_POLL_SECONDS", 3_600.0)
    async with receiving() as crm, receiving() as erp, alerting.dispatching():
        await alerting.put_endpoint(erp.url, "erp")
        await raised(alerting, crm.url)
        await asyncio.gather(crm.got(1), erp.got(1))
        await alerting.settled("delivered", 2)
        await alerting.handle(*(received(response(f"more{n}")) for n in range(450)))
        await asyncio.gather(crm.got(451), erp.got(451))


async def test_two_dispatchers_share_the_work_and_send_nothing_twice(alerting: Alerting) -> None:
    async with receiving() as receiver:
        await raised(alerting, receiver.url, 300)
        async with alerting.dispatching(), alerting.dispatching():
            await receiver.got(300)
    ids = [request.webhook_id for request in receiver.requests]
    assert len(ids) == len(set(ids)) == 300


async def test_what_a_killed_dispatcher_held_is_sent_again_under_the_same_id(
    alerting: Alerting,
) -> None:
    async with receiving() as receiver:
        [id] = await raised(alerting, receiver.url)
        async with alerting.database.begin() as tx:
            room = Room(("acme", "crm"), 10)
            [claimed] = await claim(tx, [room], await now(tx), lease_seconds=60)
            assert claimed.id == id
        async with alerting.dispatching():
            await asyncio.sleep(0.2)
            assert receiver.requests == [], "a lease that runs keeps others off"
            await alerting.make_due(leased_until=datetime.now(UTC) - timedelta(seconds=1))
            await alerting.settled("delivered")
    assert [request.webhook_id for request in receiver.requests] == [claimed.message]


async def test_a_private_address_is_never_called(alerting: Alerting) -> None:
    async with receiving() as receiver:
        [id] = await raised(alerting, receiver.url)
        async with alerting.dispatching(allow_loopback=False):
            shown = await alerting.attempted(id, 1)
    assert receiver.requests == []
    assert shown["state"] == "pending"
    assert "cannot be called" in shown["reason"]
    assert shown["log"][0]["status"] is None


async def test_a_paused_endpoint_holds_what_is_due(alerting: Alerting) -> None:
    async with receiving() as receiver, alerting.dispatching():
        await alerting.put_rule()
        await alerting.put_endpoint(receiver.url, state="paused")
        await alerting.handle(received(response()))
        [delivery] = await alerting.deliveries()
        assert (delivery["state"], delivery["held"]) == ("pending", True)
        assert (await alerting.get(f"/v1/deliveries/{delivery['id']}"))["held"]
        await asyncio.sleep(0.7)
        assert receiver.requests == []
        await alerting.put_endpoint(receiver.url, state="active")
        await alerting.settled("delivered")


async def test_what_waits_for_a_deleted_endpoint_is_cancelled(alerting: Alerting) -> None:
    async with receiving() as receiver:
        [id] = await raised(alerting, receiver.url)
        old = await alerting.secret()
        await alerting.call("DELETE", "/v1/endpoints/crm", expect=204)
        shown = await alerting.get(f"/v1/deliveries/{id}")
        assert (shown["state"], shown["reason"]) == ("cancelled", "endpoint_deleted")
        await alerting.call("POST", f"/v1/deliveries/{id}/replay", expect=409)
        await alerting.call("GET", "/v1/endpoints/crm/secret", expect=404)
        await alerting.put_endpoint(receiver.url)
        assert await alerting.secret() != old
        async with alerting.dispatching():
            await asyncio.sleep(0.2)
    assert receiver.requests == []


async def test_after_a_rotation_both_secrets_verify(alerting: Alerting) -> None:
    async with receiving() as receiver, alerting.dispatching():
        await alerting.put_rule()
        await alerting.put_endpoint(receiver.url)
        old = await alerting.secret()
        answer = (await alerting.call("POST", "/v1/endpoints/crm/secret/rotate", expect=200)).json()
        assert answer["secret"] != old
        assert answer["also"][0]["secret"] == old
        await alerting.handle(received(response()))
        [request] = await receiver.got(1)
    for secret in (old, answer["secret"]):
        Webhook(secret).verify(request.body, request.headers)


async def test_a_test_goes_the_way_of_alerts(alerting: Alerting) -> None:
    async with receiving() as receiver, alerting.dispatching():
        await alerting.put_endpoint(receiver.url, types=["alert.withdrawn"])
        sent = (await alerting.call("POST", "/v1/endpoints/crm/test", expect=202)).json()
        [request] = await receiver.got(1)
        [delivered] = await alerting.settled("delivered")
    assert (sent["id"], sent["type"]) == (delivered["id"], "test.ping")
    verified = Webhook(await alerting.secret()).verify(request.body, request.headers)
    assert verified["type"] == "test.ping"


async def test_stopping_finishes_what_is_under_way(alerting: Alerting) -> None:
    async def slow(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.5)
        writer.write(OK)

    async with receiving(slow) as receiver:
        [id] = await raised(alerting, receiver.url)
        async with alerting.dispatching():
            await receiver.got(1)
        shown = await alerting.get(f"/v1/deliveries/{id}")
    assert shown["state"] == "delivered"


async def test_a_lease_shorter_than_the_attempts_is_refused_at_start(alerting: Alerting) -> None:
    settings = alerting.settings.model_copy(update={"delivery_lease_seconds": 20.0})
    async with WebhookClient.open() as client:
        with pytest.raises(StartupError, match="AFTERWORD_DELIVERY_LEASE_SECONDS"):
            Dispatcher(alerting.database, client, settings, lambda: 0.5)


def when(text: str) -> datetime:
    return datetime.fromisoformat(text)
