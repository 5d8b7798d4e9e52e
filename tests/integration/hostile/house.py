"""The house that hostile input is thrown at: its routes as documented, its rows counted, a good document for each."""

import itertools
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import Any, NamedTuple

import httpx
import pytest
import sqlalchemy as sa

from services.cli.compose import Origin
from services.cli.describe import application_of
from shared.contracts.topics import Topic
from shared.db import Database
from shared.http.serve import Service
from shared.log import Log
from shared.tokens import KeyRing, Token
from tests.support import TOKEN_KEYS

on_one_database = pytest.mark.parametrize("house_database_url", ["sqlite"], indirect=True)
"""For what never reaches a database, or does not depend on which it is."""

URL = "http://afterword.test"
JSON = "application/json"
_addresses = (f"2001:db8:{n:x}::1" for n in itertools.count(1))


class Route(NamedTuple):
    """A documented operation."""

    method: str
    path: str
    query: tuple[str, ...]
    takes_json: bool


@dataclass
class House:
    """The open services, and a look at everything they keep."""

    services: Sequence[Service]
    origin: Origin
    databases: Mapping[str, Database]
    log: Log
    client: httpx.AsyncClient
    keys: Mapping[str, str]

    def routes(self) -> list[Route]:
        """Every operation that the services document, without the probes."""
        found = []
        for service in self.services:
            document = application_of(service.app).openapi()
            for path, operations in document["paths"].items():
                for method, operation in operations.items():
                    query = tuple(
                        each["name"]
                        for each in operation.get("parameters", ())
                        if each["in"] == "query"
                    )
                    body = "requestBody" in operation
                    found.append(Route(method.upper(), path, query, body))
        return [route for route in found if not route.path.startswith("/health")]

    async def rows(self) -> dict[str, int]:
        """How many rows each table has, and how many records each topic."""
        counts: dict[str, int] = {}
        for name, database in self.databases.items():
            tables = import_module(f"services.{name}.tables").metadata.sorted_tables
            async with database.read() as tx:
                for table in tables:
                    if table.name != "leases":
                        counted = await tx.execute(sa.select(sa.func.count()).select_from(table))
                        counts[f"{name}.{table.name}"] = counted.scalar_one()
        for partition, lag in (await self.log.lag("nobody", list(Topic))).items():
            counts[partition.topic] = counts.get(partition.topic, 0) + lag.end
        return counts

    @asynccontextmanager
    async def unchanged(self) -> AsyncIterator[None]:
        """Fails when a row or a record more or less is there afterwards."""
        before = await self.rows()
        yield
        assert await self.rows() == before

    def token(self, invitation: str, survey: str = "purchase-nps", workspace: str = "acme") -> str:
        expires = datetime.now(UTC) + timedelta(days=14)
        return KeyRing.parse(TOKEN_KEYS).sign(Token(workspace, survey, invitation, expires))


@asynccontextmanager
async def visitor(house: House) -> AsyncIterator[httpx.AsyncClient]:
    """A browser without a key, at an address of its own."""
    transport = httpx.ASGITransport(
        app=house.origin, raise_app_exceptions=False, client=(next(_addresses), 1)
    )
    async with httpx.AsyncClient(transport=transport, base_url=URL) as browser:
        yield browser


def filled(path: str, id: str = "x") -> str:
    """The path with something in the place of each id."""
    path = path.replace("{version}", "1")
    return re.sub(r"\{[a-z_]+(?::path)?\}", id, path)


def assert_problem(answer: httpx.Response, status: int, at: str | None = None) -> None:
    """The documented answer: a problem that says what is wrong, and where."""
    assert answer.status_code == status, f"{answer.request.url}: {answer.text[:500]}"
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status
    assert problem["detail"]
    if at is not None:
        places = [error["at"] for error in problem.get("errors", ())]
        assert any(place.endswith(at) for place in places), problem


EVENT: dict[str, Any] = {
    "specversion": "1.0",
    "id": "order-1",
    "source": "/shop",
    "type": "shop.purchase.completed",
    "subject": "c-1",
    "data": {"order_no": "1", "amount": 12.5},
}
TEXT = {"en": "Buy", "zh": "购买"}
QUESTION = {"id": "recommend", "kind": "nps", "text": TEXT}
GOOD: dict[tuple[str, str], dict[str, Any]] = {
    ("PUT", "/v1/customers/{id}"): {"attributes": {"tier": "gold"}},
    ("POST", "/v1/customers"): {"customers": [{"id": "c-1"}]},
    ("PUT", "/v1/journeys/{id}"): {"name": TEXT, "touchpoints": [{"id": "pay", "name": TEXT}]},
    ("PUT", "/v1/units/{id}"): {"name": TEXT, "aliases": ["S1"]},
    ("PUT", "/v1/surveys/{id}"): {
        "title": TEXT,
        "questions": [QUESTION, {"id": "comment", "kind": "text", "text": TEXT}],
    },
    ("POST", "/v1/responses"): {
        "id": "r-1",
        "survey": "purchase-nps",
        "customer": "c-1",
        "answers": {"recommend": 9},
    },
    ("PUT", "/v1/responses/{id}"): {"answers": {"recommend": 9}},
    ("PUT", "/v1/triggers/{id}"): {
        "on": "shop.purchase.completed",
        "survey": "purchase-nps",
        "channel": "link",
        "when": {"path": "data.amount", "gt": 0},
    },
    ("PUT", "/v1/channels/{id}"): {"type": "webhook", "url": "http://127.0.0.1:1089/hooks"},
    ("PUT", "/v1/contact-policies/{id}"): {"after_invitation": "30d"},
    ("PUT", "/v1/alert-rules/{id}"): {
        "about": "response",
        "when": {"path": "answers.recommend", "lte": 6},
    },
    ("PUT", "/v1/endpoints/{id}"): {"url": "http://127.0.0.1:1089/hooks"},
    ("POST", "/v1/endpoints/{id}/replay"): {
        "from": "2026-01-01T00:00:00Z",
        "to": "2026-01-02T00:00:00Z",
    },
}
"""What each route takes; the rows change one thing of it."""


async def furnish(house: House) -> None:
    """What a good client would have put before, so that a route has something to refuse."""
    survey = GOOD["PUT", "/v1/surveys/{id}"]
    for path, body in (
        ("/v1/surveys/purchase-nps", survey),
        ("/v1/endpoints/x", GOOD["PUT", "/v1/endpoints/{id}"]),
    ):
        answer = await house.client.put(path, json=body)
        assert answer.status_code == 201, answer.text
