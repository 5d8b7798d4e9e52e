"""What the routes of scoring reach the database by."""

from dataclasses import dataclass

from fastapi import Request

from shared.db import Database


@dataclass(frozen=True)
class Context:
    """`rollup` is what the cells of a workspace keep apart until it says otherwise."""

    database: Database
    rollup: tuple[str, ...]


async def context_of(request: Request) -> Context:
    """The context of the application that answers."""
    context: Context = request.app.state.context
    return context
