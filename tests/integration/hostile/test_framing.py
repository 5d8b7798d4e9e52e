"""Bytes that are no HTTP request, or two at once, or never a whole one: a problem, the end of the connection, no rows."""

import asyncio
import time
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from shared.http import connections
from tests.integration.hostile.house import House, on_one_database
from tests.integration.hostile.wire import ask, connected, served
from tests.support import eventually

pytestmark = [pytest.mark.asyncio(loop_scope="session"), on_one_database]

PUT = b"PUT /v1/customers/c-1 HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer KEY\r\nContent-Type: application/json\r\n"
GET = b"GET /v1/customers HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer KEY\r\n"
BODY = b'{"attributes": {}}'
CHUNKED = b"12\r\n" + BODY + b"\r\n0\r\n\r\n"

ROWS: dict[str, tuple[bytes, int]] = {
    "length, then chunked": (
        PUT + b"Content-Length: 18\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKED,
        400,
    ),
    "chunked, then length": (
        PUT + b"Transfer-Encoding: chunked\r\nContent-Length: 18\r\n\r\n" + CHUNKED,
        400,
    ),
    "two lengths": (PUT + b"Content-Length: 18\r\nContent-Length: 0\r\n\r\n" + BODY, 400),
    "the same length twice": (
        PUT + b"Content-Length: 18\r\nContent-Length: 18\r\n\r\n" + BODY,
        400,
    ),
    "a list of lengths": (PUT + b"Content-Length: 18, 18\r\n\r\n" + BODY, 400),
    "a negative length": (PUT + b"Content-Length: -18\r\n\r\n" + BODY, 400),
    "a signed length": (PUT + b"Content-Length: +18\r\n\r\n" + BODY, 400),
    "a hexadecimal length": (PUT + b"Content-Length: 0x12\r\n\r\n" + BODY, 400),
    "a length beyond 64 bits": (PUT + b"Content-Length: " + b"9" * 30 + b"\r\n\r\n", 400),
    "a space before the colon": (PUT + b"Content-Length : 18\r\n\r\n" + BODY, 400),
    "chunked is not last": (PUT + b"Transfer-Encoding: chunked, gzip\r\n\r\n" + CHUNKED, 400),
    "another encoding": (PUT + b"Transfer-Encoding: xchunked\r\n\r\n" + CHUNKED, 400),
    "chunked twice": (PUT + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n", 400),
    "a chunk that has no size": (PUT + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
    "a chunk beyond 64 bits": (
        PUT + b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 20 + b"\r\n",
        400,
    ),
    "a folded header": (GET + b"X-A: b\r\n c\r\n\r\n", 400),
    "NUL in a header": (GET + b"X-A: b\x00c\r\n\r\n", 400),
    "a header without a colon": (GET + b"what\r\n\r\n", 400),
    "two hosts": (GET + b"Host: b\r\n\r\n", 400),
    "two keys": (GET + b"Authorization: Bearer other\r\n\r\n", 400),
    "a header of 200 kB": (GET + b"X-A: " + b"b" * 200_000 + b"\r\n\r\n", 431),
    "10,000 headers": (GET + b"X-A: bcdefghij\r\n" * 10_000 + b"\r\n", 431),
    "an address of 100 kB": (
        b"GET /v1/customers?x=" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        431,
    ),
    "no HTTP": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 40, 400),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "HTTP/9.9": (b"GET / HTTP/9.9\r\nHost: a\r\n\r\n", 400),
    "HTTP/0.9": (b"GET /\r\n\r\n", 404),
    "no host": (GET.replace(b"Host: a\r\n", b"") + b"\r\n", 400),
    "an unknown method": (b"SMUGGLE /v1/customers HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "CONNECT": (b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n", 400),
    "bytes in the address": (b"GET /\xff\xfe HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "NUL in the address": (b"GET /v1/customers/a%00b HTTP/1.1\r\nHost: a\r\n\r\n", 422),
    "the whole server": (b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 404),
    "a web socket": (
        GET + b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        200,
    ),
}


@pytest.mark.parametrize("row", ROWS)
async def test_what_cannot_be_read_in_one_way_is_refused(house: House, port: int, row: str) -> None:
    raw, status = ROWS[row]
    async with house.unchanged():
        reply = await ask(port, raw.replace(b"KEY", house.keys["acme"].encode()))
        assert reply.status == status
        if status >= 400:
            reply.problem()


def with_key(house: House, raw: bytes) -> bytes:
    return raw.replace(b"KEY", house.keys["acme"].encode())


async def test_what_is_smuggled_behind_a_request_is_not_a_second_one(
    house: House, port: int
) -> None:
    """The body of an early answer is skipped as a body; what cannot be read ends the connection."""
    hidden = with_key(
        house, GET.replace(b"GET /v1/customers", b"DELETE /v1/surveys/purchase-nps") + b"\r\n"
    )
    not_json = PUT + b"Content-Length: %d\r\n\r\n" % len(hidden)
    get_with_body = GET + b"Content-Length: %d\r\n\r\n" % len(hidden)
    async with house.unchanged():
        for first, status in ((not_json, 400), (get_with_body, 200)):
            async with connected(port) as wire:
                await wire.send(with_key(house, first + hidden))
                assert (await wire.reply()).status == status
                await wire.send(with_key(house, GET + b"\r\n"))
                assert (await wire.reply()).status == 200
        for rubbish in (b"rubbish\r\n\r\n", b"\x00\x00", b"GET / HTTP/1.1\r\nHost : a\r\n\r\n"):
            async with connected(port) as wire:
                await wire.send(with_key(house, GET + b"\r\n") + rubbish)
                assert (await wire.reply()).status == 200
                assert await wire.ended()


async def test_a_field_after_the_body_is_no_header(house: House, port: int) -> None:
    trailer = b"Content-Type: application/x-www-form-urlencoded\r\n"
    sent = with_key(house, PUT + b"Transfer-Encoding: chunked\r\n\r\n")
    chunk = b"1c\r\n" + rb'{"attributes": {"a": "\ud8"}' + b"\r\n0\r\n"
    keyless = PUT.replace(b"Authorization: Bearer KEY\r\n", b"")
    keyed = with_key(house, b"Authorization: Bearer KEY\r\n\r\n")
    async with house.unchanged():
        assert (await ask(port, sent + chunk + trailer + b"\r\n")).status == 400
        reply = await ask(
            port,
            keyless + b"Transfer-Encoding: chunked\r\n\r\n12\r\n" + BODY + b"\r\n0\r\n" + keyed,
        )
        assert reply.status == 401


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096


async def health_seconds(port: int) -> float:
    """How long another client waits for the smallest answer."""
    started = time.monotonic()
    assert (await ask(port, b"GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n")).status == 200
    return time.monotonic() - started


FLOODS: dict[str, tuple[bytes, bytes, int]] = {
    "60 MB that say so": (PUT + b"Content-Length: 60000000\r\n\r\n", b"x" * 65_536, 413),
    "60 MB in chunks": (
        PUT + b"Transfer-Encoding: chunked\r\n\r\n",
        b"10000\r\n" + b"x" * 65_536 + b"\r\n",
        413,
    ),
    "60 MB of events": (
        PUT.replace(b"PUT /v1/customers/c-1", b"POST /v1/events")
        + b"Transfer-Encoding: chunked\r\n\r\n",
        b"10000\r\n" + b"x" * 65_536 + b"\r\n",
        413,
    ),
    "60 MB to whoever has no key": (
        b"POST /s/none HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"10000\r\n" + b"x" * 65_536 + b"\r\n",
        413,
    ),
    "60 MB behind a GET": (GET + b"Content-Length: 60000000\r\n\r\n", b"x" * 65_536, 200),
    "headers without end": (GET, b"X-A: " + b"b" * 65_000 + b"\r\n", 431),
    "a header without end": (GET + b"X-A: ", b"b" * 65_536, 431),
    "an address without end": (b"GET /", b"b" * 65_536, 431),
    "trailers without end": (
        PUT + b"Transfer-Encoding: chunked\r\n\r\n0\r\n",
        b"X-A: " + b"b" * 65_000 + b"\r\n",
        431,
    ),
    "a chunk's extension without end": (
        PUT + b"Transfer-Encoding: chunked\r\n\r\n1;a=",
        b"b" * 65_536,
        431,
    ),
    "tiny chunks": (PUT + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n" * 10_000, 431),
}


@pytest.mark.parametrize("row", FLOODS)
async def test_a_flood_is_answered_and_held_by_nobody(house: House, port: int, row: str) -> None:
    head, piece, status = FLOODS[row]
    before, most = resident_bytes(), 0
    async with house.unchanged(), connected(port) as wire:
        await wire.send(with_key(house, head))
        async with asyncio.TaskGroup() as group:
            flood = group.create_task(wire.flood(piece for _ in range(60_000_000 // len(piece))))
            while not flood.done():
                assert await health_seconds(port) < 2.0
                most = max(most, resident_bytes())
        assert flood.result() > 0
        reply = await wire.reply()
        # A connection that is ended in the middle of what comes may take its answer with it.
        assert reply.status in ((status, 0) if status == 431 else (status,)), reply
    assert most - before < 32 * 2**20


async def a_request_that_never_comes_whole_is_ended(port: int) -> None:
    """One byte and silence; the server of these tests waits a second."""

    async def begin(sent: bytes) -> None:
        async with connected(port) as wire:
            await wire.send(sent)
            started = time.monotonic()
            reply = await wire.reply()
            assert (reply.status, reply.problem()["type"]) == (408, "/problems/slow-headers")
            assert await wire.ended()
            assert 0.9 < time.monotonic() - started < 6

    rows = (b"", b"G", b"\r\n", GET, b"GET /" + b"a" * 1_000)
    await asyncio.gather(*(begin(sent) for sent in rows))


async def a_drip_of_headers_is_no_reason_to_wait_longer(port: int) -> None:
    async with connected(port) as wire:
        await wire.send(GET)
        started = time.monotonic()
        while time.monotonic() - started < 6 and not wire.reader.at_eof():
            assert await wire.flood([b"X-A: b\r\n"]) >= 0
            if wire.writer.transport.is_closing():
                break
            await asyncio.sleep(0.1)
        assert (await wire.reply()).status in (408, 0)
        assert time.monotonic() - started < 6


async def the_second_request_is_waited_for_no_longer_than_the_first(
    house: House, port: int
) -> None:
    """An idle connection is kept; one that has begun a request must finish it."""
    async with connected(port) as idle, connected(port) as slow:
        for wire in (idle, slow):
            await wire.send(with_key(house, GET + b"\r\n"))
            assert (await wire.reply()).status == 200
        await slow.send(b"GET /v1/cus")
        assert (await slow.reply()).status == 408
        await idle.send(with_key(house, GET + b"\r\n"))
        assert (await idle.reply()).status == 200


async def a_slow_client_is_not_cut_off_in_the_middle_of_its_body(house: House, port: int) -> None:
    """Headers are due in a second here, bodies later: a phone in a tunnel still gets its answer in."""
    async with connected(port) as wire:
        await wire.send(with_key(house, PUT + b"Content-Length: 18\r\n\r\n"))
        for byte in BODY[:-1]:
            await wire.send(bytes([byte]))
            await asyncio.sleep(0.13)
        await wire.send(BODY[-1:])
        assert (await wire.reply()).status in (200, 201)


async def test_who_is_slow_is_waited_for_as_long_as_promised(house: House, port: int) -> None:
    """At the same time, because each of them takes as long as it takes."""
    await asyncio.gather(
        a_request_that_never_comes_whole_is_ended(port),
        a_drip_of_headers_is_no_reason_to_wait_longer(port),
        the_second_request_is_waited_for_no_longer_than_the_first(house, port),
        a_slow_client_is_not_cut_off_in_the_middle_of_its_body(house, port),
    )


async def test_there_is_a_bound_on_connections(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections.Connection, "max_connections", 3)
    keyless = GET.replace(b"KEY", b"none") + b"\r\n"
    async with (
        served(house.origin) as port,
        connected(port) as a,
        connected(port) as b,
        connected(port) as c,
    ):
        for wire in (a, b, c):
            await wire.send(keyless)
            assert (await wire.reply()).status == 401
        refused = await ask(port, b"")
        assert refused.status == 503
        assert refused.problem()
        assert refused.headers["retry-after"]
        await a.send(keyless)
        assert (await a.reply()).status == 401


async def test_bodies_that_are_never_finished_fill_no_memory_and_hold_up_no_small_one(
    house: House, port: int
) -> None:
    """Nobody needs a key to send a body; so many of them are held at once, and forms are smaller than those."""
    begun = b"POST /s/none HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 200_000
    large = with_key(house, PUT + b"Content-Length: 300000\r\n\r\n") + b'"' + b"x" * 299_998 + b'"'
    small = with_key(house, PUT + b"Content-Length: 2\r\n\r\n") + b"[]"
    async with house.unchanged():
        async with AsyncExitStack() as stack:
            for _ in range(64):
                wire = await stack.enter_async_context(connected(port))
                await wire.send(begun)

            async def full() -> bool:
                reply = await ask(port, large)
                assert reply.status in (422, 503)
                return reply.status == 503 and reply.headers["retry-after"] == "2"

            await eventually(full, what="a bound on large bodies")
            assert (await ask(port, small)).status == 422

        async def free() -> bool:
            return (await ask(port, large)).status == 422

        await eventually(free, what="room for a large body")
