"""A transaction becomes a question, an answer, a score and a signed alert, on both stacks."""

import asyncio
import json
from urllib.parse import urlsplit

from playwright.async_api import Browser
from standardwebhooks import Webhook

from tests.e2e import scenario
from tests.e2e.receiver import Receiver
from tests.e2e.system import Client
from tests.support import eventually


async def test_from_the_purchase_to_the_signed_alert(
    client: Client, receiver: Receiver, browser: Browser
) -> None:
    await scenario.define(
        client, **{"/v1/endpoints/crm": {"url": receiver.url, "types": ["alert.*"]}}
    )
    secret = (await client.get("/v1/endpoints/crm/secret")).json()["secret"]
    event = scenario.purchase(1, "customer/1")

    answers = await asyncio.gather(*(scenario.post_event(client, event) for _ in range(3)))
    assert [answer.status_code for answer in answers] == [202, 202, 202]
    (decision,) = await scenario.decisions(client, event)
    assert decision["outcome"] == "invited"
    (invitation,) = await scenario.invitations(client, event)

    page = await browser.new_page(locale="en-GB", viewport={"width": 390, "height": 844})
    await page.goto(invitation["link"])
    await page.locator("input[name=recommend][value='3']").check(force=True)
    await page.locator("button[type=submit]").first.click()
    comment = page.locator("textarea[name=comment]")
    await comment.fill("The queue was long. 排队太久。")
    await page.locator("button[type=submit]").first.click()
    await page.wait_for_url("**/thanks**")
    await page.close()

    score = await scenario.score_of(client, 1)
    assert (score["kind"], score["value"], score["n"]) == ("nps", -100.0, 1)
    assert score["interval"]["level"] == 0.95
    east = await scenario.score_of(client, 1, where="org:east", by="org")
    assert east["group"] == {"org": "east/store-12"}

    async def delivered() -> bool:
        return bool(receiver.requests)

    await eventually(delivered, what="the delivery")
    arrived = receiver.requests[0]
    Webhook(secret).verify(arrived.body, dict(arrived.headers))
    document = json.loads(arrived.body)
    assert document["type"] == "alert.raised"
    assert document["data"]["rule"]["id"] == "unhappy"
    assert document["data"]["customer"]["id"] == "customer/1"
    assert document["data"]["transaction"]["data"]["order_no"] == "o-1"
    answered = {
        answer["question"]: answer["value"] for answer in document["data"]["response"]["answers"]
    }
    assert answered == {"recommend": 3, "comment": "The queue was long. 排队太久。"}


async def test_a_second_purchase_is_not_asked_about_and_the_reason_can_be_read(
    client: Client,
) -> None:
    await scenario.define(client)
    first, second = scenario.purchase(1, "c1"), scenario.purchase(2, "c1")
    await scenario.post_event(client, first)
    assert (await scenario.decisions(client, first))[0]["outcome"] == "invited"
    await scenario.post_event(client, second)
    (decision,) = await scenario.decisions(client, second)
    assert (decision["outcome"], decision["reason"]) == ("suppressed", "contact_policy")
    assert decision["why"]
    assert decision["trace"]


async def test_every_event_of_a_batch_has_its_decision(client: Client) -> None:
    await scenario.define(client)
    events = [scenario.purchase(i, f"c{i}", amount=i % 3) for i in range(200)]
    assert (await scenario.post_event(client, *events)).status_code == 202
    other = scenario.purchase(999, "c1") | {"type": "shop.refund"}
    assert (await scenario.post_event(client, other)).status_code == 202
    outcomes = [(await scenario.decisions(client, event))[0] for event in [*events, other]]
    for event, decision in zip(events, outcomes, strict=False):
        expected = "invited" if event["data"]["amount"] else "suppressed"
        assert decision["outcome"] == expected, decision
    assert outcomes[-1]["outcome"] == "no_trigger"


async def test_the_form_answers_once(client: Client) -> None:
    await scenario.define(client)
    event = scenario.purchase(1, "c1")
    await scenario.post_event(client, event)
    (invitation,) = await scenario.invitations(client, event)
    link = invitation["link"]
    assert (await client.get(link)).status_code == 200
    form = {"recommend": "9"}
    posts = await asyncio.gather(*(client.post(link, data=form) for _ in range(20)))
    assert {post.status_code for post in posts} == {303}
    score = await scenario.score_of(client, 1)
    assert (score["value"], score["n"]) == (100.0, 1)
    assert urlsplit(posts[0].headers["location"]).path.endswith("/thanks")
    responses = (await client.get("/v1/responses")).json()["items"]
    assert len(responses) == 1
    assert responses[0]["customer"]["id"] == "c1"
