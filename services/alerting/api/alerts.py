"""Alerts as they are read: lists with filters, and one with the response it is about."""

from datetime import datetime
from typing import Annotated, Any, Literal

import sqlalchemy as sa
from fastapi import APIRouter, Query
from pydantic import BaseModel

from services.alerting.api.context import Reached, Reader, view_of
from services.alerting.store.alerts import AlertFilter, get_alert, list_alerts
from shared.http.pages import Cursor, Limit, Page, decode_cursor, following
from shared.http.problems import not_found

router = APIRouter(prefix="/v1/alerts", tags=["alerts"])

Filter = Annotated[str | None, Query(max_length=255)]


class AlertJson(BaseModel):
    """An alert: which rule, which response, and where it stands; `sequence` counts what was announced of it."""

    id: str
    rule: str
    response: str
    customer: str | None
    revision: int
    state: Literal["raised", "withdrawn"]
    sequence: int
    severity: Literal["low", "normal", "high"]
    raised_at: datetime
    changed_at: datetime


class AlertWithResponse(AlertJson):
    """An alert with the response as it was last judged, joined with customer, transaction and dimensions."""

    about: dict[str, Any]


@router.get("")
async def list_all(
    principal: Reader,
    context: Reached,
    rule: Filter = None,
    customer: Filter = None,
    response: Filter = None,
    state: Literal["raised", "withdrawn"] | None = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[AlertJson]:
    """Alerts, newest first."""
    before = decode_cursor(cursor, str)
    wanted = AlertFilter(rule, customer, response, state)
    async with context.database.read() as tx:
        rows = await list_alerts(
            tx,
            principal.workspace,
            view_of(principal),
            wanted,
            before=before[0] if before else None,
            limit=limit + 1,
        )
    items = [AlertJson(**_fields(row)) for row in rows[:limit]]
    return Page(items=items, next=following(rows, limit, "id"))


@router.get("/{id}")
async def get(id: str, principal: Reader, context: Reached) -> AlertWithResponse:
    """One alert with the response it is about."""
    async with context.database.read() as tx:
        row = await get_alert(tx, principal.workspace, view_of(principal), id)
    if row is None:
        raise not_found("alert", id)
    return AlertWithResponse(**_fields(row), about=row.document)


def _fields(row: sa.Row[Any]) -> dict[str, Any]:
    return {name: row._mapping[name] for name in AlertJson.model_fields}
