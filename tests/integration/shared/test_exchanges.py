"""What an application answers is what a client gets, however it is sent; and idle connections are not kept for ever."""

import asyncio

import pytest
from starlette.types import Message, Receive, Scope, Send

from shared.http import serve
from tests.integration.hostile.wire import Wire, ask, connected, served

CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n2\r\ncd\r\n0\r\n\r\n"


def start(*headers: tuple[bytes, bytes], status: int = 200) -> Message:
    return {"type": "http.response.start", "status": status, "headers": headers}


def body(content: bytes, more: bool = False) -> Message:
    return {"type": "http.response.body", "body": content, "more_body": more}


TWO = (b"content-length", b"2")
ANSWERS: dict[str, list[Message]] = {
    "/whole": [start(TWO, (b"X-A", b"b")), body(b"ab")],
    "/chunked": [start(), body(b"ab", more=True), body(b"cd")],
    "/nothing": [start(status=204), body(b"")],
    "/close": [start(TWO, (b"Connection", b"close")), body(b"ab")],
    "/value": [start(TWO, (b"x-a", b"b\r\nx-evil: yes")), body(b"ab")],
    "/name": [start(TWO, (b"x-a: b\r\nx-evil", b"yes")), body(b"ab")],
    "/short": [start((b"content-length", b"3")), body(b"ab")],
    "/long": [start((b"content-length", b"1")), body(b"ab")],
    "/twice": [start(TWO), start(TWO), body(b"ab")],
    "/silent": [start(TWO)],
    "/failed": [start(TWO), {"type": "no such message"}],
    "/headless": [body(b"ab")],
}


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Sends the answer of its path, and the body that it got where it has none."""
    got = (await receive())["body"]
    echo = [start((b"content-length", b"%d" % len(got))), body(got)]
    for message in ANSWERS.get(scope["path"], echo):
        await send(message)


def request(path: str, method: str = "GET", body: bytes = b"") -> bytes:
    return (
        f"{method} {path} HTTP/1.1\r\nhost: a\r\ncontent-length: {len(body)}\r\n\r\n".encode()
        + body
    )


async def raw(wire: Wire, sent: bytes, expected: bytes) -> None:
    await wire.send(sent)
    async with asyncio.timeout(5):
        assert await wire.reader.readexactly(len(expected)) == expected


async def test_answers_come_as_they_were_given_and_the_connection_stays() -> None:
    whole = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-a: b\r\n\r\nab"
    async with served(application) as port, connected(port) as wire:
        await raw(wire, request("/whole"), whole)
        await raw(wire, request("/whole", "HEAD"), whole.removesuffix(b"ab"))
        await raw(wire, request("/chunked"), CHUNKED)
        await raw(wire, request("/nothing"), b"HTTP/1.1 204 No Content\r\n\r\n")
        await raw(wire, request("/whole") * 3, whole * 3)
        echoed = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc"
        await raw(wire, request("/echo", "POST", b"abc") * 2, echoed * 2)
        await wire.send(request("/close"))
        reply = await wire.reply()
        assert (reply.status, reply.headers["connection"], reply.body) == (200, "close", b"ab")
        assert await wire.ended()


@pytest.mark.parametrize("path", ["/twice", "/silent", "/failed", "/headless"])
async def test_nothing_of_an_answer_that_fails_before_its_body_leaves(path: str) -> None:
    async with served(application) as port:
        reply = await ask(port, request(path))
    assert (reply.status, reply.body) == (500, b"Internal Server Error")


@pytest.mark.parametrize("path", ["/value", "/name", "/short", "/long"])
async def test_an_answer_that_would_be_read_in_two_ways_ends_the_connection(path: str) -> None:
    async with served(application) as port, connected(port) as wire:
        await wire.send(request(path))
        async with asyncio.timeout(5):
            came = await wire.reader.read()
    assert b"x-evil" not in came


async def test_who_is_idle_for_too_long_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "KEEP_ALIVE_SECONDS", 1)
    async with served(application) as port, connected(port) as wire:
        await wire.send(request("/whole"))
        assert (await wire.reply()).status == 200
        assert await wire.ended()
