"""Alerts delivered to receivers on real sockets, well-behaved and not, on both databases."""

from standardwebhooks import Webhook

from tests.integration.alerting.conftest import Alerting, running
from tests.integration.alerting.receivers import receiving
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
