"""A webhook receiver of the tests: a real HTTP server that keeps what it was sent."""

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

from aiohttp import web

from tests.listening import listening


class Request(NamedTuple):
    """A webhook as it arrived, when, and what it was answered."""

    headers: Mapping[str, str]
    body: bytes
    at: float
    status: int


@dataclass
class Receiver:
    """Where deliveries arrive; answers what `answers` says next, or else `status`."""

    url: str = ""
    requests: list[Request] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    status: int = 204

    async def take(self, request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        body = await request.read()
        status = self.answers.pop(0) if self.answers else self.status
        self.requests.append(Request(headers, body, time.time(), status))
        return web.Response(status=status)


@asynccontextmanager
async def open_receiver() -> AsyncIterator[Receiver]:
    """Listen on a free port of this machine."""
    receiver = Receiver()
    app = web.Application()
    app.router.add_post("/{path:.*}", receiver.take)
    async with listening(app) as url:
        receiver.url = f"{url}/hooks"
        yield receiver
