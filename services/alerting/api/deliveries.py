"""Deliveries as they are read and replayed: the delivery log with every attempt, the dead-letter list."""

import json
from datetime import datetime
from typing import Annotated, Any, Literal

import sqlalchemy as sa
from fastapi import APIRouter, Query
from pydantic import BaseModel

from services.alerting.api.context import Reached, Reader, Writer, view_of
from services.alerting.store import deliveries as store
from services.alerting.store.endpoints import get_endpoint, hold_endpoint, load_endpoints
from shared.http.pages import Cursor, Limit, Page, decode_cursor, following
from shared.http.problems import Problem, not_found
from shared.telemetry import log

router = APIRouter(prefix="/v1/deliveries", tags=["deliveries"])

State = Literal["pending", "delivered", "failed", "cancelled"]


class DeliveryJson(BaseModel):
    """One message for one endpoint. `failed` is the dead-letter list; `held` waits for its endpoint to be resumed."""

    id: str
    endpoint: str
    webhook_id: str
    alert: str | None
    type: str
    state: State
    held: bool
    reason: str | None
    attempts: int
    next_attempt_at: datetime | None
    created_at: datetime
    changed_at: datetime
    replayed_at: datetime | None
    replayed_by: str | None


class AttemptJson(BaseModel):
    """One attempt; `body` is the beginning of what the receiver answered."""

    number: int
    at: datetime
    outcome: Literal["delivered", "retry", "gone"]
    status: int | None
    error: str | None
    body: str
    duration_ms: int


class DeliveryWithAttempts(DeliveryJson):
    """A delivery with what is sent and every attempt at it."""

    body: dict[str, Any]
    log: list[AttemptJson]


@router.get("")
async def list_all(
    principal: Reader,
    context: Reached,
    endpoint: Annotated[str | None, Query(max_length=128)] = None,
    alert: Annotated[str | None, Query(max_length=128)] = None,
    state: State | None = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[DeliveryJson]:
    """Deliveries, newest first; `?state=failed` is the dead-letter list."""
    before = decode_cursor(cursor, str)
    wanted = store.DeliveryFilter(endpoint, alert, state)
    async with context.database.read() as tx:
        rows = await store.list_deliveries(
            tx,
            principal.workspace,
            view_of(principal),
            wanted,
            before=before[0] if before else None,
            limit=limit + 1,
        )
        endpoints = await load_endpoints(tx, [principal.workspace])
    paused = {endpoint.id for endpoint in endpoints if endpoint.state == "paused"}
    items = [DeliveryJson(**delivery_fields(row, paused)) for row in rows[:limit]]
    return Page(items=items, next=following(rows, limit, "id"))


@router.get("/{id}")
async def get(id: str, principal: Reader, context: Reached) -> DeliveryWithAttempts:
    """One delivery with every attempt and the body that is sent."""
    async with context.database.read() as tx:
        row = await store.get_delivery(tx, principal.workspace, view_of(principal), id)
        if row is None:
            raise not_found("delivery", id)
        attempts = await store.list_attempts(tx, principal.workspace, id)
        body = await store.get_body(tx, principal.workspace, row.message)
        endpoint = await get_endpoint(tx, principal.workspace, row.endpoint)
    if body is None:
        raise not_found("delivery", id)
    paused = {endpoint.id} if endpoint and endpoint.state == "paused" else set()
    made = [AttemptJson(**{n: a._mapping[n] for n in AttemptJson.model_fields}) for a in attempts]
    return DeliveryWithAttempts(**delivery_fields(row, paused), body=json.loads(body), log=made)


@router.post("/{id}/replay", status_code=202)
async def replay(id: str, principal: Writer, context: Reached) -> DeliveryJson:
    """Send it again now, under the same webhook-id and with the same body, with a whole schedule before it."""
    async with context.database.begin() as tx:
        row = await store.get_delivery(tx, principal.workspace, view_of(principal), id)
        if row is None:
            raise not_found("delivery", id)
        endpoint = await hold_endpoint(tx, principal.workspace, row.endpoint)
        if endpoint is None:
            raise Problem(409, "endpoint-deleted", f"The endpoint {row.endpoint!r} was deleted.")
        if await store.get_body(tx, principal.workspace, row.message) is None:
            raise Problem(409, "body-gone", "What it carried is not kept any longer.")
        if not await store.replay_one(tx, principal.workspace, id, principal.id):
            raise not_found("delivery", id)
        row = await store.read_back(tx, principal.workspace, id)
    log.info("delivery_replayed", workspace=principal.workspace, delivery=id, by=principal.id)
    return DeliveryJson(
        **delivery_fields(row, {endpoint.id} if endpoint.state == "paused" else set())
    )


def delivery_fields(row: sa.Row[Any], paused: set[str]) -> dict[str, Any]:
    """The fields of `DeliveryJson`, given which endpoints are paused."""
    pending = row.state == "pending"
    return {
        **{
            name: row._mapping[name]
            for name in DeliveryJson.model_fields
            if name not in ("webhook_id", "held", "next_attempt_at")
        },
        "webhook_id": row.message,
        "held": pending and row.endpoint in paused,
        "next_attempt_at": row.due_at if pending else None,
    }
