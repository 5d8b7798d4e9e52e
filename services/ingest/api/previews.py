"""The link by which a survey is looked at before customers are asked it."""

from datetime import datetime, timedelta
from typing import Annotated, Final
from urllib.parse import quote

from fastapi import APIRouter, Depends
from pydantic import BaseModel

from services.ingest.context import InContext
from services.ingest.store import surveys
from shared.auth import Principal, Scope, requires
from shared.db import now
from shared.http.problems import not_found
from shared.tokens import Token

_LIFE: Final = timedelta(hours=1)

router = APIRouter(tags=["surveys"])


class PreviewJson(BaseModel):
    """A link that shows the latest version, drafts included, to whoever has it; it stores nothing."""

    link: str
    version: int
    expires_at: datetime


@router.get("/v1/surveys/{id}/preview")
async def preview_survey(
    id: str,
    principal: Annotated[Principal, Depends(requires(Scope.DEFINITIONS_READ))],
    context: InContext,
) -> PreviewJson:
    """A preview's link, signed and good for an hour."""
    async with context.database.read() as tx:
        found = await surveys.latest_version(tx, principal.workspace, id)
        at = await now(tx)
    if found is None:
        raise not_found("survey", id)
    expires_at = (at + _LIFE).replace(microsecond=0)
    token = context.keys.sign(Token(principal.workspace, id, "", expires_at))
    link = f"{context.settings.public_url.rstrip('/')}/s/preview/{quote(id)}?token={token}"
    return PreviewJson(link=link, version=found[0], expires_at=expires_at)
