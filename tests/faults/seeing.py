"""Reads through the public API, and from the receiver, what there is in a workspace, and whether it is at rest."""

import asyncio
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import httpx

from services.cli.paths import SERVICES
from tests.e2e.receiver import Request
from tests.e2e.system import Client
from tests.faults import shown
from tests.faults.signatures import genuine
from tests.faults.workload import Workload

_TRIES = 20
_LISTS = ("/v1/decisions", "/v1/invitations", "/v1/responses", "/v1/alerts")
_UNDER_WAY = (
    ("/v1/decisions", "outcome", "pending"),
    ("/v1/invitations", "state", "made"),
    ("/v1/invitations", "state", "sending"),
    ("/v1/responses", "state", "parked"),
)


async def is_quiet(client: Client, endpoint: str) -> bool:
    """Whether nothing is under way: outboxes empty, all read, nothing due to this endpoint."""
    try:
        for service in SERVICES:
            status = (await client.get(f"/v1/operations/{service}/status")).json()
            if status["database"]["outbox"]["waiting"] or any(status["log"]["lag"].values()):
                return False
        for path, name, value in _UNDER_WAY:
            if (await client.get(path, params={name: value})).json()["items"]:
                return False
        due = {"state": "pending", "endpoint": endpoint}
        return not (await client.get("/v1/deliveries", params=due)).json()["items"]
    except (httpx.TransportError, KeyError):
        return False


async def see(
    workload: Workload,
    requests: Sequence[Request],
    stranger: Client | None,
) -> shown.Seen:
    """All there is in the workspace of the workload, and what a stranger is shown."""
    client = workload.client
    secrets = await secrets_of(client, "crm")
    alerts = [shown.Alert(a["id"], a["response"]) for a in await workload.all_of("/v1/alerts")]
    ours = {alert.id for alert in alerts}
    hooks = [hook for request in requests for hook in _hooks(secrets, request)]
    return shown.Seen(
        decisions=[
            shown.Decision(d["event"]["id"], d["trigger"], d["outcome"], d["why"])
            for d in await workload.all_of("/v1/decisions")
        ],
        invitations=[
            shown.Invitation(i["id"], i["customer"]["id"], i["transaction"]["key"])
            for i in await workload.all_of("/v1/invitations")
        ],
        responses=[_response(r) for r in await workload.all_of("/v1/responses")],
        score=await _score(client),
        alerts=alerts,
        hooks=[hook for hook in hooks if hook.alert in ours],
        dead={service: await _dead(client, service) for service in SERVICES},
        foreign=0 if stranger is None else await _foreign(stranger),
    )


async def _dead(client: Client, service: str) -> int:
    """Read from the log itself, which may ask for patience with a 503 right after a fault."""
    path = f"/v1/operations/{service}/dead-letters"
    said = ""
    for _ in range(_TRIES):
        letters = await client.get(path, params={"limit": 500})
        if letters.status_code == 200:
            items: list[Any] = letters.json()["items"]
            return len(items)
        said = letters.text[:200]
        await asyncio.sleep(1.0)
    raise AssertionError(f"{path} answers {said}")


async def _foreign(stranger: Client) -> int:
    return sum([len((await stranger.get(path)).json()["items"]) for path in _LISTS])


async def _score(client: Client) -> shown.Score | None:
    answer = await client.get("/v1/scores", params={"metric": "purchase-nps.recommend"})
    for item in answer.json()["items"]:
        interval = item["interval"]
        return shown.Score(item["n"], item["value"], interval["low"], interval["high"])
    return None


def _response(row: dict[str, Any]) -> shown.Response:
    (score,) = (a["value"] for a in row["answers"] if a["question"] == "recommend")
    customer = row["customer"]["id"] if row["customer"] else None
    return shown.Response(row["id"], row["invitation"], customer, int(score), row["state"])


async def secrets_of(client: Client, endpoint: str) -> list[str]:
    """The secrets that sign for an endpoint, the newest first."""
    told = (await client.get(f"/v1/endpoints/{endpoint}/secret")).json()
    return [told["secret"], *(older["secret"] for older in told["also"])]


def _hooks(secrets: Iterable[str], request: Request) -> Iterator[shown.Hook]:
    """The webhook as the laws see it; a ping is about no alert and is nothing to them."""
    document = json.loads(request.body)
    if not document["type"].startswith("alert."):
        return
    yield shown.Hook(
        request.headers["webhook-id"],
        document["data"]["alert"]["id"],
        request.body,
        genuine=genuine(secrets, request),
        taken=200 <= request.status <= 299,
    )
