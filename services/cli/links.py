"""Prints each new survey link of a development system, for whoever wants to answer it."""

import asyncio
from contextlib import suppress

import httpx
from rich.console import Console

from services.cli.context import Context
from shared.telemetry import log

_POLL_SECONDS = 1.0


async def follow_links(context: Context, stop: asyncio.Event) -> None:
    """Print the link of each invitation made from now on, until stopped."""
    console = Console(highlight=False, soft_wrap=True)
    headers = {"authorization": f"Bearer {context.api_key}"}
    seen: set[str] | None = None
    async with httpx.AsyncClient(base_url=context.url, headers=headers, trust_env=False) as client:
        while not stop.is_set():
            await asyncio.sleep(_POLL_SECONDS)
            try:
                answer = await client.get("/v1/invitations", params={"limit": 50})
            except httpx.TransportError as error:
                log.debug("links_wait", reason=str(error))
                continue
            if answer.status_code != 200:
                continue
            items = answer.json()["items"]
            fresh = [item for item in items if seen is not None and item["id"] not in seen]
            seen = (seen or set()) | {item["id"] for item in items}
            for item in reversed(fresh):
                with suppress(OSError):  # a full disk under the output ends no service
                    console.print(
                        f"invitation for {item['customer']['id']}: {item['link']}", markup=False
                    )
