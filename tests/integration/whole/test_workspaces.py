"""Law 8: a workspace is a boundary; every route answers another workspace's ids as it answers unknown ones."""

import re
from typing import Any

import httpx

from services.cli.describe import application_of
from services.cli.dev import Embedded
from tests.e2e import scenario
from tests.support import eventually

Fixture = tuple[Embedded, dict[str, str]]


async def populate(client: httpx.AsyncClient) -> dict[str, str]:
    """One of everything in a workspace; the id of each noun."""
    await scenario.define(
        client,
        **{
            "/v1/channels/shop": {"type": "webhook", "url": "http://127.0.0.1:1089/hooks"},
            "/v1/contact-policies/default": {"after_invitation": "30d"},
            "/v1/endpoints/crm": {"url": "http://127.0.0.1:1089/hooks"},
        },
    )
    assert (
        await client.put("/v1/customers/c1", json={"attributes": {"tier": "gold"}})
    ).status_code == 201
    event = scenario.purchase(1, "c1")
    await scenario.post_event(client, event)
    (decision,) = await scenario.decisions(client, event)
    (invitation,) = await scenario.invitations(client, event)
    answer = await client.post(invitation["link"], data={"recommend": "3", "comment": "slow"})
    assert answer.status_code == 303, answer.text

    async def delivery() -> dict[str, Any] | None:
        items = (await client.get("/v1/deliveries")).json()["items"]
        return items[0] if items else None

    delivered = await eventually(delivery, what="a delivery")
    response = (await client.get("/v1/responses")).json()["items"][0]
    alert = (await client.get("/v1/alerts")).json()["items"][0]
    return {
        "customers": "c1",
        "surveys": "purchase-nps",
        "journeys": "buy",
        "units": "store-12",
        "responses": response["id"],
        "triggers": "after-purchase",
        "channels": "shop",
        "contact-policies": "default",
        "decisions": decision["id"],
        "invitations": invitation["id"],
        "alert-rules": "unhappy",
        "endpoints": "crm",
        "alerts": alert["id"],
        "deliveries": delivered["id"],
    }


def routes_with_ids(system: Embedded) -> list[tuple[str, str, str]]:
    """(method, path, noun) of every documented route that names one thing."""
    found = []
    for service in system.services:
        for path, operations in application_of(service.app).openapi()["paths"].items():
            noun = re.match(r"^/v1/([a-z-]+)/\{[a-z_]+(?::path)?\}", path)
            if noun:
                found += [(method.upper(), path, noun[1]) for method in operations]
    return found


async def test_another_workspaces_ids_are_unknown_on_every_route(
    embedded: Fixture, clients: dict[str, httpx.AsyncClient]
) -> None:
    ids = await populate(clients["acme"])
    routes = routes_with_ids(embedded[0])
    assert {noun for _, _, noun in routes} == set(ids)
    tried = 0
    for method, path, noun in routes:
        if method == "PUT" and noun != "responses":
            continue  # a PUT creates the other workspace's own; the test below looks at those
        foreign = await call(clients["other"], method, path, ids[noun])
        unknown = await call(clients["other"], method, path, "no-such-id")
        assert foreign.status_code == unknown.status_code == 404, (
            f"{method} {path}: {foreign.text} {unknown.text}"
        )
        assert foreign.json()["detail"].replace(ids[noun], "ID") == unknown.json()[
            "detail"
        ].replace("no-such-id", "ID")
        tried += 1
    assert tried >= 30
    assert await populated(clients["acme"], ids)


async def test_lists_scores_and_put_stay_inside_a_workspace(
    embedded: Fixture, clients: dict[str, httpx.AsyncClient]
) -> None:
    ids = await populate(clients["acme"])
    for noun in ids:
        assert (await clients["other"].get(f"/v1/{noun}")).json()["items"] == [], noun
        assert (await clients["acme"].get(f"/v1/{noun}")).json()["items"] != [], noun
    assert (await clients["other"].get("/v1/scores", params={"survey": "purchase-nps"})).json()[
        "items"
    ] == []
    mine = {"name": {"en": "Mine"}}
    assert (await clients["other"].put("/v1/units/store-12", json=mine)).status_code == 201
    assert (await clients["acme"].get("/v1/units/store-12")).json()["name"]["en"] == "Store 12"
    assert await populated(clients["acme"], ids)


async def test_an_event_cannot_choose_its_workspace(
    embedded: Fixture, clients: dict[str, httpx.AsyncClient]
) -> None:
    event = scenario.purchase(1, "c1") | {"workspace": "acme"}
    assert (await scenario.post_event(clients["other"], event)).status_code == 422


BODIES = {
    ("PUT", "/v1/responses/{id}"): {"answers": {"recommend": 1}},
    ("POST", "/v1/endpoints/{id}/replay"): {
        "from": "2026-01-01T00:00:00Z",
        "to": "2036-01-01T00:00:00Z",
    },
}
"""What a route needs before it looks for the id."""


async def call(client: httpx.AsyncClient, method: str, path: str, id: str) -> httpx.Response:
    url = re.sub(r"\{[a-z_]+(?::path)?\}", id, path, count=1)
    url = re.sub(r"\{[a-z_]+\}", "1", url)  # e.g. the number of a version
    return await client.request(method, url, json=BODIES.get((method, path)))


async def populated(client: httpx.AsyncClient, ids: dict[str, str]) -> bool:
    """Everything is still there."""
    for noun, id in ids.items():
        answer = await client.get(f"/v1/{noun}/{id}")
        assert answer.status_code == 200, f"{noun}: {answer.text}"
    return True
