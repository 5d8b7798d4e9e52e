"""What the routes of trigger reach: the database, the settings, and how long a request may wait."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, TypeVar

from fastapi import Depends, Query, Request

from services.trigger.settings import Settings
from services.trigger.store.decisions import DECIDED
from shared.auth import Principal, Scope, requires
from shared.db import Database
from shared.durations import EXPECTED, DurationError, parse_duration
from shared.http.problems import FieldError, invalid

T = TypeVar("T")
_LONGEST_WAIT_SECONDS = 30.0
_LOOK_SECONDS = 0.25


@dataclass(frozen=True)
class Context:
    """The resources of the routes."""

    database: Database
    settings: Settings


async def _context(request: Request) -> Context:
    context: Context = request.app.state.context
    return context


async def _wait_seconds(
    wait: Annotated[
        str | None,
        Query(description="Wait up to this long (at most 30s) for the first row, e.g. 5s"),
    ] = None,
) -> float:
    if wait is None:
        return 0.0
    try:
        seconds = parse_duration(wait).total_seconds()
    except DurationError as error:
        raise invalid([FieldError("wait", str(error), EXPECTED)]) from error
    if seconds > _LONGEST_WAIT_SECONDS:
        raise invalid([FieldError("wait", f"{wait} is too long", "at most 30s")])
    return seconds


Reached = Annotated[Context, Depends(_context)]
Reader = Annotated[Principal, Depends(requires(Scope.DECISIONS_READ))]
WaitSeconds = Annotated[float, Depends(_wait_seconds)]


async def first_rows(
    context: Context, look: Callable[[], Awaitable[list[T]]], wait_seconds: float
) -> list[T]:
    """What `look` finds, waiting for the first row as long as was asked; another replica's rows are polled for."""
    deadline = time.monotonic() + wait_seconds
    signal = context.database.signal(DECIDED)
    while True:
        seen = signal.count
        rows = await look()
        remaining = deadline - time.monotonic()
        if rows or remaining <= 0:
            return rows
        await signal.wait(seen, min(_LOOK_SECONDS, remaining))
        await asyncio.sleep(0)
