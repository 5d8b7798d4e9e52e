"""A house with feedback in it, inside and outside of what its keys with a data scope may see."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import httpx
from fastapi.routing import RouteContext, iter_route_contexts

from services.cli.compose import Origin
from services.cli.describe import application_of
from shared.auth import Requirement, Scope
from shared.http.serve import Service
from tests.e2e import scenario
from tests.integration.conftest import open_all
from tests.support import eventually, working, write_access

URL = "http://afterword.test"
KEYS: dict[str, dict[str, list[str]]] = {
    "east": {"org": ["cn/east"]},
    "east-pro": {"org": ["cn/east"], "brand": ["pro"]},
    "pro": {"brand": ["pro"]},
    "nowhere": {"org": ["nowhere"]},
}
STORES = [
    ("S12", "pro", "cn/east/store-12"),
    ("store-13", "basic", "cn/east/store-13"),
    ("store-14", "pro", "cn/eastern/store-14"),
    ("store-15", "basic", "cn/west/store-15"),
    ("kiosk", "pro", "kiosk"),
]
"""What the events bring, and the path that comes of it; one event more brings neither."""


class Route(NamedTuple):
    """An operation, and the scope that it needs."""

    method: str
    path: str
    scope: Scope | None


def _scope_of(context: RouteContext) -> Scope | None:
    needs = [each.call for each in context.dependant.dependencies]
    return next((each.scope for each in needs if isinstance(each, Requirement)), None)


@dataclass
class House:
    """The open services and a client for each key; `acme` sees everything."""

    services: Sequence[Service]
    clients: Mapping[str, httpx.AsyncClient]

    def routes(self) -> list[Route]:
        """Every operation under /v1 that FastAPI serves."""
        return [
            Route(method, context.path, _scope_of(context))
            for service in self.services
            for context in iter_route_contexts(application_of(service.app).routes)
            if context.path is not None and context.path.startswith("/v1/")
            if not context.path.startswith("/v1/openapi/")
            for method in context.methods or ()
        ]

    async def items(self, key: str, path: str, **params: Any) -> list[dict[str, Any]]:
        answer = await self.clients[key].get(path, params=params)
        assert answer.status_code == 200, f"{path}: {answer.text}"
        items: list[dict[str, Any]] = answer.json()["items"]
        return items

    async def ids(self, key: str, path: str, **params: Any) -> list[str]:
        return [item["id"] for item in await self.items(key, path, **params)]


@asynccontextmanager
async def open_house(database_url: str, directory: Path) -> AsyncIterator[House]:
    """All services with their loops running on a migrated database, and feedback from every store."""
    keys = write_access(directory / "access.yaml", limited=KEYS)
    async with AsyncExitStack() as stack:
        services, _ = await stack.enter_async_context(open_all(database_url, directory, URL))
        origin = Origin(services)
        clients = {}
        for name, key in keys.items():
            client = httpx.AsyncClient(
                transport=httpx.ASGITransport(app=origin),
                base_url=URL,
                headers={"authorization": f"Bearer {key}"},
            )
            clients[name] = await stack.enter_async_context(client)
        async with working(*services):
            house = House(services, clients)
            await _furnish(house)
            yield house


async def _furnish(house: House) -> None:
    client = house.clients["acme"]
    parents = {"cn": None, "east": "cn", "eastern": "cn", "west": "cn"}
    parents |= {"store-13": "east", "store-14": "eastern", "store-15": "west"}
    units = {f"/v1/units/{id}": unit(parent) for id, parent in parents.items()}
    trigger = scenario.DEFINITIONS["/v1/triggers/after-purchase"]
    trigger = trigger | {"dimensions": {"org": "data.store", "brand": "data.brand"}}
    await scenario.define(
        client,
        **units,
        **{"/v1/units/store-12": unit("east") | {"aliases": ["S12"]}},
        **{"/v1/endpoints/crm": {"url": "http://127.0.0.1:1089/hooks"}},
        **{"/v1/triggers/after-purchase": trigger},
    )
    brought: list[dict[str, Any]] = [{"store": s, "brand": b} for s, b, _ in STORES]
    for number, data in enumerate([*brought, {"store": None}]):
        await _answer(client, scenario.purchase(number, f"c{number}", **data), number)
    nothing = scenario.purchase(90, "c90", store="S12", brand="pro", amount=0)
    nobody = scenario.purchase(91, "c91") | {"type": "shop.visited"}
    await scenario.post_event(client, nothing, nobody)
    assert await scenario.decisions(client, nothing)
    assert await scenario.decisions(client, nobody)
    assert (await client.post("/v1/endpoints/crm/test")).status_code == 202
    await scenario.score_of(client, n=len(STORES) + 1)

    async def delivered() -> bool:
        return len(await house.ids("acme", "/v1/deliveries")) == len(STORES) + 2

    await eventually(delivered, what="a delivery for each alert")


async def _answer(client: httpx.AsyncClient, event: dict[str, Any], number: int) -> None:
    """A purchase and a bad word about it."""
    await scenario.post_event(client, event)
    (invitation,) = await scenario.invitations(client, event)
    answer = await client.post(invitation["link"], data={"recommend": f"{number}"})
    assert answer.status_code == 303, answer.text


def unit(parent: str | None) -> dict[str, Any]:
    return {"name": {"en": "Unit"}} | ({"parent": parent} if parent else {})
