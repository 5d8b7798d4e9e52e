"""Posts events over and over on many connections: `python -m bench.load PORT KEY CONNECTIONS BATCH WARM SECONDS`.

It prints `go` when the warm-up is over and, when the time is, what it saw as one line of JSON. It parses no more
of an answer than it must, so that the server is what is measured.
"""

import asyncio
import json
import sys
import time
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import cast

import uvloop

from bench.events import encoded, purchase

_DIFFERENT_EVENTS = 2_000
_ACCEPTED = b"HTTP/1.1 202"


@dataclass
class Tally:
    """What came back while it counted."""

    counting: bool = False
    accepted: int = 0
    refused: int = 0
    first_refusal: str = ""
    waits: list[float] = field(default_factory=list)


class Connection(asyncio.Protocol):
    """One keep-alive connection with one request under way at any time."""

    def __init__(self, requests: list[bytes], first: int, tally: Tally) -> None:
        self._requests = requests
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
        self._sent_at = time.perf_counter()
        self._transport.write(self._requests[next(self._numbers) % len(self._requests)])

    def _count(self, answer: bytes) -> None:
        tally = self._tally
        if not tally.counting:
            return
        if answer.startswith(_ACCEPTED):
            tally.accepted += 1
            tally.waits.append(time.perf_counter() - self._sent_at)
        else:
            tally.refused += 1
            tally.first_refusal = tally.first_refusal or answer[:500].decode("latin-1")


def _is_whole(answer: bytes) -> bool:
    end = answer.find(b"\r\n\r\n")
    if end < 0:
        return False
    at = answer.find(b"content-length: ", 0, end) + 16
    return len(answer) >= end + 4 + int(answer[at : answer.index(b"\r\n", at)])


def requests_of(key: str, batch: int) -> list[bytes]:
    """Requests with different events of different customers, of one event each or of a batch."""
    events = [purchase(n, customer=f"customer-{n}") for n in range(_DIFFERENT_EVENTS)]
    if batch == 1:
        return [_request(key, "application/cloudevents+json", encoded(event)) for event in events]
    chunks = (events[n : n + batch] for n in range(0, len(events), batch))
    return [_request(key, "application/cloudevents-batch+json", encoded(chunk)) for chunk in chunks]


def _request(key: str, content_type: str, body: bytes) -> bytes:
    lines = [
        "POST /v1/events HTTP/1.1",
        "host: 127.0.0.1",
        f"authorization: Bearer {key}",
        f"content-type: {content_type}",
        f"content-length: {len(body)}",
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def _run(
    port: int, key: str, connections: int, batch: int, warm: float, seconds: float
) -> None:
    requests = requests_of(key, batch)
    tally = Tally()
    loop = asyncio.get_running_loop()
    step = len(requests) // connections or 1
    for number in range(connections):
        first = number * step
        await loop.create_connection(partial(Connection, requests, first, tally), "127.0.0.1", port)
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
        "events": tally.accepted * batch,
        "requests": tally.accepted,
        "refused": tally.refused,
        "refusal": tally.first_refusal,
        "p50_ms": waits[len(waits) // 2] * 1e3,
        "p99_ms": waits[len(waits) * 99 // 100] * 1e3,
        "own_core": worked / took,
    }
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    port, key, connections, batch, warm, seconds = sys.argv[1:]
    uvloop.run(_run(int(port), key, int(connections), int(batch), float(warm), float(seconds)))
