"""What the routes of alerting need, and how they reach it."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from shared.auth import Principal, Scope, requires
from shared.data_scope import View
from shared.db import Database


@dataclass(frozen=True)
class Context:
    """The resources behind the routes."""

    database: Database


async def _context(request: Request) -> Context:
    found: Context = request.app.state.context
    return found


def view_of(principal: Principal) -> View:
    """What a key may see; no units are kept here, so by the paths as they were."""
    return principal.data.view()


Reached = Annotated[Context, Depends(_context)]
Reader = Annotated[Principal, Depends(requires(Scope.ALERTS_READ))]
Writer = Annotated[Principal, Depends(requires(Scope.ALERTS_WRITE))]
SecretReader = Annotated[Principal, Depends(requires(Scope.SECRETS_READ))]
DefinitionWriter = Annotated[Principal, Depends(requires(Scope.DEFINITIONS_WRITE))]
