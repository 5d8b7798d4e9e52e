"""Reads through the public API what the laws are judged by and what the report shows."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime

from services.cli.demo.api import Api
from services.cli.demo.definitions import METRIC
from services.cli.demo.laws import Decision, Invitation, Seen
from services.cli.demo.receiving import Received
from services.cli.paths import SERVICES

REGION = "org@2"
MONTH = "month"


@dataclass(frozen=True, slots=True)
class Score:
    """One score as the API gives it, with the values that it was grouped by."""

    group: tuple[str, ...]
    value: float
    low: float
    high: float
    n: int
    small_n: bool


async def read_decisions(api: Api) -> list[Decision]:
    """All decisions of the workspace."""
    return [
        Decision(item["event"]["id"], item["outcome"], item.get("reason"))
        async for page in api.pages("/v1/decisions")
        for item in page
    ]


async def read_invitations(api: Api) -> list[Invitation]:
    """All invitations of the workspace."""
    return [
        Invitation(
            id=item["id"],
            event=item["transaction"]["id"],
            order=item["transaction"]["key"],
            customer=item["customer"]["id"],
            bought_at=datetime.fromisoformat(item["transaction"]["time"]),
            link=item["link"],
        )
        async for page in api.pages("/v1/invitations")
        for item in page
    ]


async def read_scores(api: Api, *by: str) -> list[Score]:
    """The score of the demo's question, grouped."""
    answer = await api.get("/v1/scores", metric=METRIC, by=list(by))
    return [
        Score(
            group=tuple(item["group"][name] for name in by),
            value=item["value"],
            low=item["interval"]["low"],
            high=item["interval"]["high"],
            n=item["n"],
            small_n=item["small_n"],
        )
        for item in answer["items"]
    ]


async def total(api: Api, metric: str) -> int:
    """How many answers the scores count."""
    answer = await api.get("/v1/scores", metric=metric)
    return sum(item["n"] for item in answer["items"])


async def read_seen(
    api: Api, decisions: list[Decision], invitations: list[Invitation], received: Received
) -> Seen:
    """Everything that the laws look at, read once the system is at rest."""
    responses = [item["invitation"] for item in await api.all("/v1/responses")]
    alerts = frozenset(item["id"] for item in await api.all("/v1/alerts"))
    deliveries = Counter(item["state"] for item in await api.all("/v1/deliveries"))
    months = sum(score.n for score in await read_scores(api, MONTH))
    regions = sum(score.n for score in await read_scores(api, REGION))
    dead = {
        service: len((await api.get(f"/v1/operations/{service}/dead-letters", limit=500))["items"])
        for service in SERVICES
    }
    return Seen(
        decisions=decisions,
        invitations=invitations,
        responses=responses,
        scored={"by month": months, "by region": regions},
        alerts=alerts,
        deliveries=deliveries,
        verified=frozenset(received.alerts),
        forged=received.forged,
        dead=dead,
    )
