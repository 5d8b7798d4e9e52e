"""A client that sends bytes as they are: what no HTTP library would send."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from deploy.local.ports import free_port
from shared.http.app import Health
from shared.http.serve import Service, run
from tests.support import eventually

_DEADLINE_SECONDS = 10.0


@dataclass
class Reply:
    """One answer as it came, or none where the connection just ended."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    def problem(self) -> dict[str, Any]:
        """The problem in it; fails for any other answer."""
        assert self.headers["content-type"] == "application/problem+json", self
        document: dict[str, Any] = json.loads(self.body)
        assert document["status"] == self.status
        assert document["detail"]
        return document


@dataclass
class Wire:
    """One open connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, *parts: bytes) -> None:
        for part in parts:
            self.writer.write(part)
            await self.writer.drain()

    async def flood(self, parts: Iterable[bytes]) -> int:
        """Send until all is sent or the server hangs up; how many bytes it took."""
        sent = 0
        try:
            for part in parts:
                await self.send(part)
                sent += len(part)
        except ConnectionError:
            pass
        return sent

    async def reply(self) -> Reply:
        """The next answer."""
        async with asyncio.timeout(_DEADLINE_SECONDS):
            try:
                head = await self.reader.readuntil(b"\r\n\r\n")
            except (asyncio.IncompleteReadError, ConnectionError):
                return Reply()
            first, *lines = head.decode("latin-1").split("\r\n")
            headers = {
                name.lower(): value.strip()
                for name, _, value in (line.partition(":") for line in lines if line)
            }
            body = await self.reader.readexactly(int(headers.get("content-length", 0)))
            return Reply(int(first.split()[1]), headers, body)

    async def ended(self) -> bool:
        """Whether the server hangs up, after whatever it still says."""
        async with asyncio.timeout(_DEADLINE_SECONDS):
            try:
                while await self.reader.read(65_536):
                    pass
            except ConnectionError:
                pass
            return True


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[Wire]:
    """A connection to the server on this port."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield Wire(reader, writer)
    finally:
        writer.transport.abort()


async def ask(port: int, raw: bytes) -> Reply:
    """The answer to these bytes on a connection of their own."""
    async with connected(port) as wire:
        await wire.flood([raw])
        return await wire.reply()


@asynccontextmanager
async def served(app: Any, **options: Any) -> AsyncIterator[int]:
    """The application behind the real server; its port."""
    stop, port = asyncio.Event(), free_port()
    health = Health()
    running = asyncio.create_task(
        run(
            [Service("house", app, health)],
            app,
            host="127.0.0.1",
            port=port,
            metrics_port=None,
            grace_seconds=6,
            stop=stop,
            **options,
        )
    )

    async def started() -> bool:
        assert not running.done(), running.exception()
        return health.started

    await eventually(started, what="the server")
    try:
        yield port
    finally:
        stop.set()
        await running
