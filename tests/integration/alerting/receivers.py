"""Receivers of webhooks on real sockets that behave as they are told."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.support import eventually

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
ERROR = b"HTTP/1.1 500 Oops\r\nContent-Length: 4\r\n\r\noops"
GONE = b"HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n"

Behaviour = bytes | Callable[[asyncio.StreamWriter], Awaitable[None]]


@dataclass(frozen=True)
class Request:
    """What arrived."""

    headers: dict[str, str]
    body: bytes

    @property
    def webhook_id(self) -> str:
        return self.headers["webhook-id"]

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Receiver:
    """Answers each request with the next behaviour, the last one for ever, and keeps what arrived."""

    behaviours: list[Behaviour]
    port: int = 0
    requests: list[Request] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    async def got(self, count: int) -> list[Request]:
        """Wait until `count` requests have arrived, and return all that did."""

        async def enough() -> bool:
            return len(self.requests) >= count

        await eventually(enough, what=f"request {count}")
        return self.requests

    async def answer(self, writer: asyncio.StreamWriter) -> None:
        behaviour = self.behaviours[0] if len(self.behaviours) == 1 else self.behaviours.pop(0)
        if isinstance(behaviour, bytes):
            writer.write(behaviour)
            await writer.drain()
        else:
            await behaviour(writer)


@asynccontextmanager
async def receiving(*behaviours: Behaviour) -> AsyncIterator[Receiver]:
    """A receiver on a free port of this machine."""
    receiver = Receiver(list(behaviours) or [OK])
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        current = asyncio.current_task()
        assert current is not None
        tasks.add(current)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                pairs = (line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
                headers = {name.lower(): value for name, value in pairs}
                body = await reader.readexactly(int(headers["content-length"]))
                receiver.requests.append(Request(headers, body))
                await receiver.answer(writer)
        except (asyncio.IncompleteReadError, asyncio.CancelledError, OSError):
            pass  # the client left, or the test is over
        finally:
            tasks.discard(current)
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()
        for task in tuple(tasks):
            task.cancel()
        await server.wait_closed()
