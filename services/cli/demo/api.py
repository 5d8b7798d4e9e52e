"""The public API as the demo uses it: patient where the system asks for patience, lists read to their end."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from services.cli.client import ApiError, answer
from services.cli.context import Context

PAGE = 500
_BUSY = (429, 503)
_BUSY_ATTEMPTS = 30
_SILENT_ATTEMPTS = 6
_LONGEST_PAUSE_SECONDS = 5.0
_CONNECTIONS = 64


class Api:
    """One system with the key of one workspace. Every call may be repeated: all of them are harmless twice."""

    def __init__(self, client: httpx.AsyncClient, context: Context) -> None:
        self._client = client
        self._context = context

    async def get(self, path: str, **params: Any) -> Any:
        """The JSON of a GET. Raises `ApiError`."""
        return await self._call("GET", path, params=params)

    async def post(self, path: str, body: Any, content_type: str = "application/json") -> Any:
        """The JSON of a POST. Raises `ApiError`."""
        return await self._call("POST", path, json=body, headers={"content-type": content_type})

    async def pages(self, path: str, **params: Any) -> AsyncIterator[list[dict[str, Any]]]:
        """All pages of a list."""
        cursor: dict[str, str] = {}
        while True:
            page = await self.get(path, limit=PAGE, **params, **cursor)
            yield page["items"]
            if not page.get("next"):
                return
            cursor = {"cursor": page["next"]}

    async def all(self, path: str, **params: Any) -> list[dict[str, Any]]:
        """All items of a list."""
        return [item async for page in self.pages(path, **params) for item in page]

    async def visit(self, method: str, link: str, **arguments: Any) -> httpx.Response:
        """A customer's request: no key, no redirect followed. Any answer is returned but a busy one."""
        return await self._send(method, link, **arguments)

    async def _call(self, method: str, path: str, **arguments: Any) -> Any:
        headers = {"authorization": f"Bearer {self._context.api_key}"} | arguments.pop(
            "headers", {}
        )
        response = await self._send(method, self._context.url + path, headers=headers, **arguments)
        return answer(response)

    async def _send(self, method: str, url: str, **arguments: Any) -> httpx.Response:
        busy = silent = 0
        while True:
            try:
                response = await self._client.request(method, url, **arguments)
            except httpx.TransportError as error:
                silent += 1
                if silent == _SILENT_ATTEMPTS:
                    raise ApiError(
                        None,
                        {},
                        f"{self._context.url} does not answer: {str(error) or type(error).__name__}",
                    ) from error
                await asyncio.sleep(_pause(silent, None))
                continue
            busy += 1
            if response.status_code not in _BUSY or busy == _BUSY_ATTEMPTS:
                return response
            await asyncio.sleep(_pause(busy, response.headers.get("retry-after")))


def _pause(attempt: int, asked: str | None) -> float:
    seconds = float(asked) if asked and asked.isdigit() else 0.05 * 2**attempt
    return min(seconds, _LONGEST_PAUSE_SECONDS)


@asynccontextmanager
async def open_api(context: Context) -> AsyncIterator[Api]:
    """An API client for many concurrent calls."""
    limits = httpx.Limits(max_connections=_CONNECTIONS, max_keepalive_connections=_CONNECTIONS)
    async with httpx.AsyncClient(timeout=30.0, trust_env=False, limits=limits) as client:
        yield Api(client, context)
