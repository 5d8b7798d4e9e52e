"""Sends prepared requests over and over on many connections and tells what came back.

It prints `go` when the warm-up is over and, when the time is, what it saw as one line of JSON. It parses no more
of an answer than it must, so that the server is what is measured.
"""

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import NamedTuple, cast

import uvloop


class Ask(NamedTuple):
    """A request, and how a right answer begins and what stands in it."""

    request: bytes
    begins: bytes
    holds: bytes = b""


@dataclass
class Tally:
    """What came back while it counted."""

    counting: bool = False
    right: int = 0
    wrong: int = 0
    first_wrong: str = ""
    waits: list[float] = field(default_factory=list)


class Connection(asyncio.Protocol):
    """One keep-alive connection with one request under way at any time."""

    def __init__(self, asks: Sequence[Ask], first: int, tally: Tally) -> None:
        self._asks = asks
        self._numbers = count(first)
        self._tally = tally
        self._answer = b""
        self._sent_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)  # uvloop's has no such base
        self._send()

    def data_received(self, data: bytes) -> None:
        self._answer += data
        if _is_whole(self._answer):
            self._count(self._answer)
            self._answer = b""
            self._send()

    def _send(self) -> None:
        self._ask = self._asks[next(self._numbers) % len(self._asks)]
        self._sent_at = time.perf_counter()
        self._transport.write(self._ask.request)

    def _count(self, answer: bytes) -> None:
        tally = self._tally
        if not tally.counting:
            return
        if answer.startswith(self._ask.begins) and self._ask.holds in answer:
            tally.right += 1
            tally.waits.append(time.perf_counter() - self._sent_at)
        else:
            tally.wrong += 1
            tally.first_wrong = tally.first_wrong or answer[:500].decode("latin-1")


def _is_whole(answer: bytes) -> bool:
    end = answer.find(b"\r\n\r\n")
    if end < 0:
        return False
    at = answer.find(b"content-length: ", 0, end) + 16
    return len(answer) >= end + 4 + int(answer[at : answer.index(b"\r\n", at)])


def drive(port: int, asks: Sequence[Ask], connections: int, warm: float, seconds: float) -> None:
    """Ask for `warm` seconds unseen and then for `seconds`, and print what came back."""
    uvloop.run(_drive(port, asks, connections, warm, seconds))


async def _drive(
    port: int, asks: Sequence[Ask], connections: int, warm: float, seconds: float
) -> None:
    tally = Tally()
    loop = asyncio.get_running_loop()
    step = len(asks) // connections or 1
    for number in range(connections):
        made = partial(Connection, asks, number * step, tally)
        await loop.create_connection(made, "127.0.0.1", port)
    await asyncio.sleep(warm)
    tally.counting = True
    print("go", flush=True)
    started, worked = time.perf_counter(), time.process_time()
    await asyncio.sleep(seconds)
    tally.counting = False
    took, worked = time.perf_counter() - started, time.process_time() - worked
    waits = sorted(tally.waits) or [0.0]
    found = {
        "seconds": took,
        "right": tally.right,
        "wrong": tally.wrong,
        "first_wrong": tally.first_wrong,
        "p50_ms": waits[len(waits) // 2] * 1e3,
        "p99_ms": waits[len(waits) * 99 // 100] * 1e3,
        "own_core": worked / took,
    }
    print(json.dumps(found), flush=True)
