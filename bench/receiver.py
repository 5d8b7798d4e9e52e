"""A receiver of webhooks that costs next to nothing: it notes when each came and answers 204."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple, cast

from deploy.local.ports import free_port
from shared.webhook import verify

_ANSWER = b"HTTP/1.1 204 No Content\r\n\r\n"


class Arrival(NamedTuple):
    """A webhook as it came, when that was, and which of the receiver's ports it came to."""

    head: bytes
    body: bytes
    at: float
    port: int

    @property
    def headers(self) -> dict[str, str]:
        lines = self.head.decode("latin-1").split("\r\n")[1:]
        pairs = (line.partition(": ") for line in lines)
        return {name.lower(): value for name, _, value in pairs}

    def verify(self, secrets: Sequence[str]) -> None:
        """Raise `SignatureError` unless one of the secrets signed it."""
        verify(secrets, self.headers, self.body, int(self.at))


@dataclass
class Receiver:
    """What came in, in order; `ports` are the receivers that the sender knows."""

    ports: list[int] = field(default_factory=list)
    arrivals: list[Arrival] = field(default_factory=list)

    def url(self, number: int) -> str:
        """Where receiver `number` takes webhooks."""
        return f"http://127.0.0.1:{self.ports[number]}/hook"


class _Connection(asyncio.Protocol):
    def __init__(self, receiver: Receiver, port: int) -> None:
        self._receiver = receiver
        self._port = port
        self._held = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)  # uvloop's has no such base

    def data_received(self, data: bytes) -> None:
        self._held += data
        while (request := self._taken()) is not None:
            head, body = request
            self._receiver.arrivals.append(Arrival(head, body, time.time(), self._port))
            self._transport.write(_ANSWER)

    def _taken(self) -> tuple[bytes, bytes] | None:
        """The head and the body of the next request, once it is whole."""
        head, found, rest = self._held.partition(b"\r\n\r\n")
        if not found:
            return None
        at = head.lower().index(b"content-length: ") + 16
        length = int(head[at:].partition(b"\r\n")[0])
        if len(rest) < length:
            return None
        self._held = rest[length:]
        return head, rest[:length]


@asynccontextmanager
async def receiving(count: int) -> AsyncIterator[Receiver]:
    """Receive on `count` ports, each a receiver of its own to the sender, until the context ends."""
    receiver = Receiver([free_port() for _ in range(count)])
    loop = asyncio.get_running_loop()
    servers = [
        await loop.create_server(partial(_Connection, receiver, port), "127.0.0.1", port)
        for port in receiver.ports
    ]
    try:
        yield receiver
    finally:
        for server in servers:
            server.close()
