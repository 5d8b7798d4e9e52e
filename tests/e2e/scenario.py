"""The definitions and steps that the end-to-end tests share."""

from typing import Any

import httpx

from tests.support import eventually

DEFINITIONS: dict[str, dict[str, Any]] = {
    "/v1/units/east": {"name": {"en": "East", "zh": "华东"}},
    "/v1/units/store-12": {
        "name": {"en": "Store 12", "zh": "12 号店"},
        "aliases": ["S12"],
        "parent": "east",
    },
    "/v1/journeys/buy": {
        "name": {"en": "Buy", "zh": "购买"},
        "touchpoints": [{"id": "checkout", "name": {"en": "Checkout", "zh": "付款"}}],
    },
    "/v1/surveys/purchase-nps": {
        "title": {"en": "Your purchase", "zh": "您的购买"},
        "questions": [
            {
                "id": "recommend",
                "kind": "nps",
                "text": {
                    "en": "How likely are you to recommend us?",
                    "zh": "您向朋友推荐我们的可能性有多大？",
                },
            },
            {
                "id": "comment",
                "kind": "text",
                "show_if": {"path": "answers.recommend", "lte": 8},
                "text": {"en": "What should we do better?", "zh": "我们怎样可以做得更好？"},
            },
        ],
    },
    "/v1/triggers/after-purchase": {
        "on": "shop.purchase.completed",
        "when": {"path": "data.amount", "gt": 0},
        "transaction": "data.order_no",
        "survey": "purchase-nps",
        "journey": "buy",
        "touchpoint": "checkout",
        "dimensions": {"org": "data.store", "product": "data.product"},
        "channel": "link",
        "expires": "14d",
    },
    "/v1/alert-rules/unhappy": {
        "about": "response",
        "when": {"path": "answers.recommend", "lte": 6},
    },
}


def purchase(number: int, customer: str, **data: Any) -> dict[str, Any]:
    """A purchase as a shop would tell it."""
    return {
        "specversion": "1.0",
        "id": f"p-{number}",
        "source": "/shop",
        "type": "shop.purchase.completed",
        "subject": customer,
        "data": {"order_no": f"o-{number}", "amount": 25.5, "store": "S12", "product": "cd"} | data,
    }


async def define(client: httpx.AsyncClient, **more: dict[str, Any]) -> None:
    """Put the definitions and wait until trigger has its copy of the survey, so that nothing is unresolved."""
    for path, document in (DEFINITIONS | more).items():
        answer = await client.put(path, json=document)
        assert answer.status_code in (200, 201), f"{path}: {answer.text}"

    async def resolved() -> bool:
        found = (await client.get("/v1/triggers/after-purchase")).json()
        return not found["unresolved"]

    await eventually(resolved, what="resolving the trigger's references")


async def post_event(client: httpx.AsyncClient, *events: dict[str, Any]) -> httpx.Response:
    """Post one event, or several as a batch."""
    if len(events) == 1:
        return await client.post(
            "/v1/events", json=events[0], headers={"content-type": "application/cloudevents+json"}
        )
    return await client.post(
        "/v1/events",
        json=list(events),
        headers={"content-type": "application/cloudevents-batch+json"},
    )


async def decisions(
    client: httpx.AsyncClient, event: dict[str, Any], wait: str = "20s"
) -> list[dict[str, Any]]:
    """The decisions about an event, waiting for the first."""
    return await _of_event(client, "/v1/decisions", event, wait)


async def invitations(
    client: httpx.AsyncClient, event: dict[str, Any], wait: str = "20s"
) -> list[dict[str, Any]]:
    """The invitations made for an event, waiting for the first."""
    return await _of_event(client, "/v1/invitations", event, wait)


async def _of_event(
    client: httpx.AsyncClient, path: str, event: dict[str, Any], wait: str
) -> list[dict[str, Any]]:
    params = {"source": event["source"], "event": event["id"], "wait": wait}
    answer = await client.get(path, params=params)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


async def score_of(client: httpx.AsyncClient, n: int, **params: str) -> dict[str, Any]:
    """The NPS of the survey once it counts `n` responses."""

    async def counted() -> dict[str, Any] | None:
        answer = await client.get(
            "/v1/scores", params={"metric": "purchase-nps.recommend", **params}
        )
        assert answer.status_code == 200, answer.text
        items = answer.json()["items"]
        return items[0] if items and items[0]["n"] >= n else None

    return await eventually(counted, what=f"a score of {n} responses")
