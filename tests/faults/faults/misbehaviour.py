"""What a receiver of webhooks can do instead of answering."""

import asyncio
import gzip

_BOMB_MB = 100


async def drip(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    for _ in range(100):
        await asyncio.sleep(0.2)
        writer.write(b".")
        await writer.drain()


async def hang(writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(60)


async def reset(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf of it")
    await writer.drain()
    writer.transport.abort()


async def endless(writer: asyncio.StreamWriter) -> None:
    size = _BOMB_MB * 1_000_000
    writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n".encode())
    for _ in range(size // 100_000):
        writer.write(b"x" * 100_000)
        await writer.drain()


def bomb() -> bytes:
    body = gzip.compress(bytes(_BOMB_MB * 1_000_000), compresslevel=9)
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def throttle(retry_after: str) -> bytes:
    head = f"HTTP/1.1 429 Slow down\r\nRetry-After: {retry_after}\r\nContent-Length: 0\r\n\r\n"
    return head.encode()
