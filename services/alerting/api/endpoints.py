"""What an endpoint has beside its definition: its secret, a test delivery, and the replay of what failed."""

from datetime import UTC, datetime

import msgspec
import uuid_utils
from fastapi import APIRouter, Response
from pydantic import AwareDatetime, BaseModel, Field

from services.alerting.api.context import DefinitionWriter, Reached, SecretReader, Writer
from services.alerting.api.deliveries import DeliveryJson, delivery_fields
from services.alerting.definitions import ENDPOINT
from services.alerting.store import deliveries as store
from services.alerting.store.endpoints import (
    forget_endpoints,
    get_endpoint,
    hold_endpoint,
    list_secrets,
    make_secrets,
    rotate_secret,
)
from shared.db import Tx, now
from shared.definitions.api import Writing
from shared.definitions.documents import Change
from shared.http.bodies import Body
from shared.http.problems import FieldError, invalid, not_found
from shared.telemetry import log

router = APIRouter(prefix="/v1/endpoints", tags=["endpoints"])

_EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
_LATEST = datetime(3000, 1, 1, tzinfo=UTC)


class SecretJson(BaseModel):
    """The secret that signs now; `also` are those that a rotation still keeps valid."""

    endpoint: str
    secret: str
    created_at: datetime
    also: list["RetiringSecret"]


class RetiringSecret(BaseModel):
    """A secret that signs beside the new one until it ends."""

    secret: str
    valid_until: datetime


class Span(Body):
    """Which failed deliveries: those of messages created in [from, to)."""

    start: AwareDatetime = Field(alias="from", ge=_EARLIEST, le=_LATEST)
    end: AwareDatetime = Field(alias="to", ge=_EARLIEST, le=_LATEST)


class Replayed(BaseModel):
    """How many deliveries are due again."""

    replayed: int


@router.get("/{id}/secret")
async def read_secret(
    id: str, principal: SecretReader, context: Reached, response: Response
) -> SecretJson:
    """The endpoint's signing secret; it stands in no other answer and in no log."""
    async with context.database.read() as tx:
        return await _secret(tx, principal.workspace, id, response)


@router.post("/{id}/secret/rotate")
async def rotate(
    id: str, principal: SecretReader, _: DefinitionWriter, context: Reached, response: Response
) -> SecretJson:
    """Make a new secret. For 24 hours deliveries are signed with the old one too."""
    async with context.database.begin() as tx:
        if await get_endpoint(tx, principal.workspace, id) is None:
            raise not_found(ENDPOINT, id)
        await rotate_secret(tx, principal.workspace, id, await now(tx))
        answer = await _secret(tx, principal.workspace, id, response)
    log.info("secret_rotated", workspace=principal.workspace, endpoint=id, by=principal.id)
    return answer


@router.post("/{id}/test", status_code=202)
async def send_test(id: str, principal: Writer, context: Reached) -> DeliveryJson:
    """Send a `test.ping` to this endpoint in the way alerts go; what came of it stands in the delivery."""
    async with context.database.begin() as tx:
        endpoint = await hold_endpoint(tx, principal.workspace, id)
        if endpoint is None:
            raise not_found(ENDPOINT, id)
        at = await now(tx)
        body = {"type": "test.ping", "timestamp": at.isoformat(), "data": {"endpoint": id}}
        message = store.NewMessage(
            workspace=principal.workspace,
            id=f"{uuid_utils.uuid7()}-1",
            alert=None,
            sequence=1,
            type="test.ping",
            body=msgspec.json.encode(body),
        )
        [delivery] = await store.add_deliveries(tx, [(message, [id])], at)
        row = await store.read_back(tx, principal.workspace, delivery)
    return DeliveryJson(**delivery_fields(row, {id} if endpoint.state == "paused" else set()))


@router.post("/{id}/replay", status_code=202)
async def replay(id: str, span: Span, principal: Writer, context: Reached) -> Replayed:
    """Send again every failed delivery of a span of time, each under its own webhook-id."""
    if span.start >= span.end:
        raise invalid([FieldError("to", "is not after from", "a later time than from")])
    async with context.database.begin() as tx:
        if await hold_endpoint(tx, principal.workspace, id) is None:
            raise not_found(ENDPOINT, id)
        count = await store.replay_failed(
            tx, principal.workspace, id, span.start, span.end, principal.id
        )
    log.info(
        "deliveries_replayed",
        workspace=principal.workspace,
        endpoint=id,
        by=principal.id,
        count=count,
    )
    return Replayed(replayed=count)


async def put(tx: Tx, writing: Writing) -> list[Change]:
    """With a new endpoint comes its secret; with a deleted one go its secrets and what waits for it."""
    changed = [change for change in writing.changes if change.kind == ENDPOINT]
    kept = [change.id for change in changed if change.action != "delete"]
    gone = [change.id for change in changed if change.action == "delete"]
    await make_secrets(tx, writing.workspace, kept, writing.at)
    if gone:
        await forget_endpoints(tx, writing.workspace, gone, writing.at)
    return list(writing.changes)


async def _secret(tx: Tx, workspace: str, id: str, response: Response) -> SecretJson:
    if await get_endpoint(tx, workspace, id) is None:
        raise not_found(ENDPOINT, id)
    response.headers["cache-control"] = "no-store"
    newest, *older = await list_secrets(tx, workspace, id, await now(tx))
    also = [RetiringSecret(secret=row.secret, valid_until=row.retired_at) for row in older]
    return SecretJson(endpoint=id, secret=newest.secret, created_at=newest.created_at, also=also)
