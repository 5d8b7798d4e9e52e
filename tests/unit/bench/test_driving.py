"""The load of the benchmarks: a wrong answer is never counted as a right one."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

_LOAD = """
import sys
from bench.driving import Ask, drive
asks = [Ask(f"GET /{n} HTTP/1.1\\r\\n\\r\\n".encode(), b"HTTP/1.1 200", f"<{n}>".encode()) for n in range(10)]
drive(int(sys.argv[1]), asks, 2, 0.0, 0.3)
"""


async def test_the_right_answers_are_counted() -> None:
    async with _serving(lambda number: (200, f"<{number}>")) as port:
        found = await _driven(port)
    assert found["right"] > 0
    assert found["wrong"] == 0
    assert 0 < found["p50_ms"] <= found["p99_ms"]


async def test_another_page_and_another_status_are_wrong() -> None:
    async with _serving(lambda number: (200, "<0>")) as port:
        found = await _driven(port)
    assert found["wrong"] > found["right"]
    assert found["first_wrong"].endswith("<0>")
    async with _serving(lambda number: (503, f"<{number}>")) as port:
        found = await _driven(port)
    assert found["right"] == 0
    assert found["wrong"] > 0


async def _driven(port: int) -> dict[str, Any]:
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _LOAD, str(port)), stdout=subprocess.PIPE
    )
    said, _ = await child.communicate()
    go, line = said.decode().splitlines()
    assert go == "go"
    found: dict[str, Any] = json.loads(line)
    return found


@asynccontextmanager
async def _serving(answer: Any) -> AsyncIterator[int]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            status, body = answer(int(head.split()[1][1:]))
            writer.write(
                f"HTTP/1.1 {status} X\r\ncontent-length: {len(body)}\r\n\r\n{body}".encode()
            )

    async def until_closed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(until_closed, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()
