"""What the routes of the ingest service reach: its database, its access file, its keys, its settings."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from services.ingest.guesses import Guesses
from services.ingest.settings import Settings
from shared.auth import Access
from shared.db import Database
from shared.tokens import KeyRing


@dataclass(frozen=True)
class Context:
    """Made once by `main`; the same for every request."""

    database: Database
    access: Access
    keys: KeyRing
    settings: Settings
    guesses: Guesses


async def _context(request: Request) -> Context:
    context: Context = request.app.state.context
    return context


InContext = Annotated[Context, Depends(_context)]
"""A route's parameter of this type is the service's context."""
