"""The origin in front of four processes, over real sockets on both sides."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import httpx
import pytest
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from services.cli.front import upstreams
from services.cli.origin import ProxyOrigin
from services.cli.paths import SERVICES
from shared.errors import StartupError

Answer = Callable[[Scope, Receive, Send], Awaitable[None]]


@asynccontextmanager
async def serving(app: ASGIApp) -> AsyncIterator[str]:
    """Serve an application on a port of its own while the block runs."""
    bound = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        app, log_config=None, lifespan="off", http="httptools", proxy_headers=False
    )
    server = uvicorn.Server(config)
    server.capture_signals = contextlib.nullcontext  # type: ignore[assignment]  # the test's own signals stay
    running = asyncio.create_task(server.serve(sockets=[bound]))
    try:
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"
    finally:
        server.should_exit = True
        await running


@asynccontextmanager
async def proxied(upstream: ASGIApp) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an origin whose services are all the same application."""
    async with (
        serving(upstream) as behind,
        ProxyOrigin.open(dict.fromkeys(SERVICES, behind)) as origin,
        serving(origin) as url,
        httpx.AsyncClient(base_url=url, trust_env=False) as client,
    ):
        yield client


async def body_of(receive: Receive) -> bytes:
    body: bytes = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            return body


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    body = await body_of(receive)
    head = f"{scope['method']} {scope['raw_path'].decode()}?{scope['query_string'].decode()}\n"
    head += "".join(f"{n.decode()}: {v.decode()}\n" for n, v in scope["headers"])
    headers = [(b"set-cookie", b"a=1"), (b"set-cookie", b"b=2"), (b"location", b"/elsewhere")]
    headers += [(b"content-encoding", b"gzip")] if b"gzip" in body else []
    await send({"type": "http.response.start", "status": 303, "headers": headers})
    await send({"type": "http.response.body", "body": head.encode() + body})


async def test_method_path_query_headers_and_body_arrive_as_they_were_sent() -> None:
    async with proxied(echo) as client:
        answer = await client.request(
            "PUT", "/v1/surveys/a%2Fb?x=%20&y=%C3%BC", content=b"{}", headers={"x-own": "1", "te": "trailers"}
        )  # fmt: skip
        told = answer.text
        assert told.startswith("PUT /v1/surveys/a%2Fb?x=%20&y=%C3%BC\n")
        assert "x-own: 1\n" in told
        assert "content-length: 2\n" in told
        assert f"host: {client.base_url.netloc.decode()}\n" in told
        assert "te:" not in told
        assert told.endswith("{}")


async def test_services_are_told_who_connected_and_not_what_that_one_says_of_itself() -> None:
    async with proxied(echo) as client:
        lies = {
            "x-forwarded-for": "1.2.3.4",
            "x-forwarded-proto": "gopher",
            "forwarded": "for=1.2.3.4",
        }
        told = (await client.get("/v1/surveys", headers=lies)).text
    assert [line for line in told.splitlines() if "forwarded" in line] == [
        "x-forwarded-for: 127.0.0.1"
    ]


@pytest.mark.parametrize(
    "wrong", ["ingest", "nobody=http://h:1", "ingest=ftp://h", "ingest=http://h/x"]
)
def test_an_upstream_that_is_none_is_refused(wrong: str) -> None:
    with pytest.raises(StartupError, match="SERVICE=http://host:port"):
        upstreams([wrong])
    assert upstreams(["ingest=http://h:1"])["ingest"] == "http://h:1"


async def test_the_answer_comes_back_whole_without_being_followed_or_unpacked() -> None:
    async with proxied(echo) as client:
        answer = await client.get("/s/token")
        assert answer.status_code == 303
        assert answer.headers.get_list("set-cookie") == ["a=1", "b=2"]
        assert answer.headers["location"] == "/elsewhere"
        async with client.stream("POST", "/v1/events", content=b"gzip") as packed:
            raw = b"".join([chunk async for chunk in packed.aiter_raw()])
        assert packed.headers["content-encoding"] == "gzip"
        assert raw.endswith(b"gzip")


async def test_a_body_without_a_length_streams_through() -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(50):
            yield b"x" * 20_000

    async with proxied(echo) as client:
        answer = await client.post("/v1/events", content=chunks())
        assert answer.content.endswith(b"x" * 1_000_000)


async def test_an_answer_streams_while_it_is_made() -> None:
    more = asyncio.Event()

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
        await more.wait()
        await send({"type": "http.response.body", "body": b"second"})

    async with proxied(slow) as client, client.stream("GET", "/v1/scores") as answer:
        parts = answer.aiter_raw()
        assert await anext(parts) == b"first"
        more.set()
        assert await anext(parts) == b"second"


async def test_a_process_that_is_not_there_is_a_503_to_try_again() -> None:
    free = socket.create_server(("127.0.0.1", 0))
    nobody = f"http://127.0.0.1:{free.getsockname()[1]}"
    free.close()
    async with (
        ProxyOrigin.open(dict.fromkeys(SERVICES, nobody)) as origin,
        httpx.AsyncClient(transport=httpx.ASGITransport(app=origin), base_url="http://o") as client,
    ):
        answer = await client.post("/v1/events", json={})
        assert (answer.status_code, "retry-after" in answer.headers) == (503, True)
        assert "ingest" in answer.json()["detail"]
        ready = await client.get("/health/ready")
        assert (ready.status_code, ready.json()["detail"]) == (
            503,
            f"Not ready: {', '.join(SERVICES)}.",
        )
        assert (await client.get("/v1/unheard-of")).status_code == 404


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_a_process_that_breaks_off_is_a_502_as_nobody_knows_what_it_did() -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    behind = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with (
        server,
        ProxyOrigin.open(dict.fromkeys(SERVICES, behind)) as origin,
        httpx.AsyncClient(transport=httpx.ASGITransport(app=origin), base_url="http://o") as client,
    ):
        answer = await client.post("/v1/events", json={})
        assert answer.status_code == 502


async def test_ready_is_asked_of_every_process(monkeypatch: pytest.MonkeyPatch) -> None:
    # Probes and probed share a process here: two seconds may be spent on anything else in it.
    monkeypatch.setattr("services.cli.origin._PROBE_SECONDS", 30.0)

    async def half(scope: Scope, receive: Receive, send: Send) -> None:
        status = 200 if scope["path"] == "/health/live" else 503
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async with proxied(half) as client:
        live, ready = await client.get("/health/live"), await client.get("/health/ready")
        assert live.status_code == 200, live.text
        assert ready.status_code == 503
