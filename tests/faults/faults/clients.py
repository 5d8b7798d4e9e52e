"""Clients that go away in mid-request.

Finds a build whose cancelled requests leave database transactions open, or connections that are of no more use.
"""

import asyncio
import random
from urllib.parse import urlsplit

from tests.faults.distributed import Distributed
from tests.support import eventually

_CLIENTS = 200
_AT_ONCE = 20
_LEAKED = """SELECT count(*) FROM pg_stat_activity
WHERE state LIKE 'idle in transaction%' AND now() - state_change > interval '1 second'"""
_PATHS = (
    "/v1/invitations",
    "/v1/responses",
    "/v1/scores?metric=purchase-nps.recommend",
    "/v1/alerts",
)


async def disconnecting(lab: Distributed, rng: random.Random) -> None:
    """Requests that read and write the database, left within milliseconds: no database transaction stays open."""
    turns = asyncio.Semaphore(_AT_ONCE)

    async def one(number: int) -> None:
        async with turns:
            if number % 2:
                await _leave(lab, rng, "GET", rng.choice(_PATHS), b"")
            else:
                path = rng.choice(("/v1/units/u-1", "/v1/endpoints/gone"))
                body = b'{"name": {"en": "U"}}' if "units" in path else _ENDPOINT
                await _leave(lab, rng, "PUT", path, body)

    await asyncio.gather(*map(one, range(_CLIENTS)))
    async with lab.sql() as connection:

        async def none_left() -> bool:
            return bool(await connection.fetchval(_LEAKED) == 0)

        await eventually(none_left, seconds=10, every=0.2, what="the end of all transactions")


_ENDPOINT = b'{"url": "http://127.0.0.1:9/gone", "types": ["signal.*"]}'


async def _leave(lab: Distributed, rng: random.Random, method: str, path: str, body: bytes) -> None:
    """Send a whole request and reset the connection before, or while, it is answered."""
    url = urlsplit(lab.system.url(path))
    key = lab.workload.client.headers["authorization"]
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {key}\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    _, writer = await asyncio.open_connection(url.hostname, url.port)
    writer.write(head.encode() + body)
    await writer.drain()
    await asyncio.sleep(rng.uniform(0.0, 0.03))
    writer.transport.abort()
