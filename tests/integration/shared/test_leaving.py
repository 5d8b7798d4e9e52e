"""A process that is told to end takes no new connection, and answers once more on those that it has."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from fastapi import FastAPI

from deploy.local.ports import free_port
from shared.http.app import Health
from shared.http.serve import Service, run
from tests.integration.hostile.wire import connected
from tests.support import eventually

_REQUEST = b"GET /here HTTP/1.1\r\nhost: here\r\n\r\n"


@dataclass
class Leaving:
    """A server that can be told to end."""

    port: int
    running: asyncio.Task[None]
    stop: asyncio.Event

    async def told(self) -> None:
        """Tell it, and wait until it takes no connection any more."""
        self.stop.set()
        await eventually(self._refuses, what="a connection being refused")

    async def _refuses(self) -> bool:
        try:
            async with connected(self.port):
                return False
        except ConnectionResetError:
            return False  # it was in the queue of the socket that was just closed
        except ConnectionRefusedError:
            return True


@asynccontextmanager
async def _server(linger_seconds: float) -> AsyncIterator[Leaving]:
    app, stop, port, health = FastAPI(), asyncio.Event(), free_port(), Health()

    @app.get("/here")
    async def here() -> str:
        return "here"

    running = asyncio.create_task(
        run(
            [Service("house", app, health)],
            app,
            host="127.0.0.1",
            port=port,
            metrics_port=None,
            grace_seconds=50,
            stop=stop,
            linger_seconds=linger_seconds,
        )
    )

    async def started() -> bool:
        return health.started

    await eventually(started, what="the server")
    try:
        yield Leaving(port, running, stop)
    finally:
        stop.set()
        await running


async def test_a_kept_connection_gets_one_answer_more_and_is_told_that_it_is_the_last() -> None:
    async with _server(10) as server, connected(server.port) as wire:
        await wire.send(_REQUEST)
        assert (await wire.reply()).headers.get("connection") is None
        await server.told()
        await wire.send(_REQUEST)
        last = await wire.reply()
        assert (last.status, last.headers["connection"]) == (200, "close")
        assert await wire.ended()
        await asyncio.wait_for(server.running, 5)


@pytest.mark.parametrize("before", [0, 1])
async def test_a_request_that_has_come_by_half_is_answered(before: int) -> None:
    async with _server(10) as server, connected(server.port) as wire:
        await wire.send(_REQUEST * before + _REQUEST[:20])
        for _ in range(before):
            await wire.reply()
        await server.told()
        await wire.send(_REQUEST[20:])
        assert (await wire.reply()).status == 200
        assert await wire.ended()


async def test_who_asks_nothing_more_is_let_go_of() -> None:
    async with _server(0.2) as server, connected(server.port) as wire:
        await wire.send(_REQUEST)
        await wire.reply()
        await server.told()
        assert await wire.ended()
        await asyncio.wait_for(server.running, 5)
