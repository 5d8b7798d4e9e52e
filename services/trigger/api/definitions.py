"""The routes of triggers, channels and contact policies, and of a channel's secret."""

from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel

from services.trigger.api.context import Context, Reached
from services.trigger.definitions import CHANNEL, TRIGGER, kinds
from services.trigger.store import housekeeping, references, secrets
from services.trigger.store.decisions import RELEASE
from services.trigger.tables import definitions, outbox
from shared.auth import Principal, Scope, requires
from shared.db import Tx, wake
from shared.definitions.api import Context as DefinitionContext
from shared.definitions.api import Writing, definition_routes
from shared.definitions.documents import Change
from shared.http.problems import not_found

SecretReader = Annotated[Principal, Depends(requires(Scope.SECRETS_READ))]


class ChannelSecret(BaseModel):
    """What the messages of a channel are signed with, as Standard Webhooks spells it."""

    secret: str


def routes(context: Context) -> list[APIRouter]:
    """The routers of this service's definitions."""
    return [
        secret_router,
        definition_routes(
            DefinitionContext(
                service="trigger",
                database=lambda: context.database,
                table=definitions,
                outbox=outbox,
                kinds=kinds(allow_loopback=context.settings.allow_loopback),
                unresolved=references.unresolved,
                put=_put,
            )
        ),
    ]


secret_router = APIRouter(tags=["definitions"])


@secret_router.get("/v1/channels/{id}/secret")
async def get_channel_secret(id: str, context: Reached, principal: SecretReader) -> ChannelSecret:
    """The secret that was generated when the channel was first put."""
    async with context.database.read() as tx:
        secret = await secrets.load_secret(tx, principal.workspace, id)
    if secret is None:
        raise not_found(CHANNEL, id)
    return ChannelSecret(secret=secret)


async def _put(tx: Tx, writing: Writing) -> list[Change]:
    """A channel gets its secret when it is first put and loses it when it is deleted; what a paused trigger held
    is looked at again when it goes on."""
    channels = [change for change in writing.changes if change.kind == CHANNEL]
    gone = [change.id for change in channels if change.action == "delete"]
    await secrets.forget_secrets(tx, writing.workspace, gone)
    await secrets.make_secrets(
        tx, writing.workspace, [change.id for change in channels if change.id not in gone]
    )
    if any(
        change.kind == TRIGGER and change.action in ("update", "delete")
        for change in writing.changes
    ):
        await housekeeping.unhold(tx)
        wake(tx, RELEASE)
    return list(writing.changes)
