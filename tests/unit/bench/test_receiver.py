"""The benchmark's receiver: what it notes is what was sent, and a forged webhook does not pass."""

import asyncio
import time

import httpx
import pytest

from bench.receiver import receiving
from shared.webhook import SignatureError, new_secret, sign


async def test_every_webhook_is_noted_with_what_proves_it() -> None:
    secret = new_secret()
    bodies = [f"body {number}".encode() * 1_000 for number in range(20)]
    async with receiving(2) as receiver, httpx.AsyncClient() as client:
        for number, body in enumerate(bodies):
            headers = sign([secret], f"m-{number}", int(time.time()), body)
            answer = await client.post(receiver.url(number % 2), content=body, headers=headers)
            assert answer.status_code == 204
    assert [arrival.body for arrival in receiver.arrivals] == bodies
    for number, arrival in enumerate(receiver.arrivals):
        assert arrival.headers["webhook-id"] == f"m-{number}"
        assert arrival.port == receiver.ports[number % 2]
        arrival.verify([secret])
        with pytest.raises(SignatureError):
            arrival.verify([new_secret()])


async def test_requests_that_come_in_pieces_and_together_are_told_apart() -> None:
    request = b"POST /hook HTTP/1.1\r\nContent-Length: 4\r\n\r\nbody"
    async with receiving(1) as receiver:
        reader, writer = await asyncio.open_connection("127.0.0.1", receiver.ports[0])
        stream = request * 3
        for piece in (stream[:10], stream[10:45], stream[45:]):
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        answers = await reader.readexactly(len(b"HTTP/1.1 204 No Content\r\n\r\n") * 3)
        writer.close()
        await writer.wait_closed()
    assert answers.count(b" 204 ") == 3
    assert [arrival.body for arrival in receiver.arrivals] == [b"body"] * 3
