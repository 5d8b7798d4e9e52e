"""The webhook client against receivers that misbehave, on real sockets."""

import asyncio
import gzip
import resource
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from shared.webhook import new_secret, outcome, sign, verify
from shared.webhook.client import WebhookClient
from shared.webhook.failures import ForbiddenAddress

BODY = b'{"type":"alert.raised"}'
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@dataclass
class Request:
    head: str
    body: bytes

    @property
    def headers(self) -> dict[str, str]:
        pairs = (line.split(": ", 1) for line in self.head.split("\r\n")[1:] if line)
        return {name.lower(): value for name, value in pairs}


@dataclass
class Receiver:
    """A raw HTTP server that records each request and then does as it was told."""

    port: int = 0
    requests: list[Request] = field(default_factory=list)
    connections: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook?token=s3cret"


Behaviour = Callable[[asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def receiving(
    behaviour: Behaviour | bytes, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Receiver]:
    receiver = Receiver()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        receiver.connections += 1
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                request = Request(head.removesuffix("\r\n\r\n"), b"")
                request.body = await reader.readexactly(int(request.headers["content-length"]))
                receiver.requests.append(request)
                if isinstance(behaviour, bytes):
                    writer.write(behaviour)
                    await writer.drain()
                else:
                    await behaviour(writer)
        except (asyncio.IncompleteReadError, OSError):
            pass  # the client left, as it does after most of these replies
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()
        await server.wait_closed()


@pytest.fixture
async def client() -> AsyncIterator[WebhookClient]:
    async with WebhookClient.open(allow_loopback=True) as opened:
        yield opened


class Names(AbstractResolver):
    """Answers each look-up with the next list of addresses, the last one for ever."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked = 0

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        self.asked += 1
        answer = self.answers[0] if len(self.answers) == 1 else self.answers.pop(0)
        return [
            ResolveResult(
                hostname=host,
                host=ip,
                port=port,
                family=socket.AF_INET6 if ":" in ip else socket.AF_INET,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST,
            )
            for ip in answer
        ]

    async def close(self) -> None:
        return None


async def test_what_arrives_is_what_was_signed(client: WebhookClient) -> None:
    secret = new_secret()
    headers = sign([secret], "alert-1", 1_700_000_000, BODY)
    async with receiving(OK) as receiver:
        extra = {"Authorization": "Bearer abc", "content-type": "application/cloudevents+json"}
        reply = await client.post(
            receiver.url, headers, BODY, timeout_seconds=5, extra_headers=extra
        )
    assert (reply.status, reply.error, reply.body) == (200, None, "ok")
    assert outcome(reply) == "delivered"
    assert 0 < reply.duration_seconds < 5
    [request] = receiver.requests
    assert request.head.startswith("POST /hook?token=s3cret HTTP/1.1")
    assert request.body == BODY
    verify([secret], request.headers, request.body, now=1_700_000_000)
    assert request.headers["authorization"] == "Bearer abc"
    assert request.headers["content-type"] == "application/cloudevents+json"
    assert request.headers["accept-encoding"] == "identity"
    assert request.headers["user-agent"].startswith("Afterword/")
    assert "cookie" not in request.headers


async def test_the_owner_of_an_endpoint_cannot_override_ours(client: WebhookClient) -> None:
    async with receiving(OK) as receiver:
        for name in ("Webhook-Id", "Host", "Content-Length"):
            reply = await client.post(
                receiver.url, {}, BODY, timeout_seconds=5, extra_headers={name: "9"}
            )
            assert reply.status is None
            assert name in (reply.error or "")
    assert receiver.connections == 0


@pytest.mark.parametrize(
    ("raw", "status", "meaning", "wait"),
    [
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, "delivered", None),
        (b"HTTP/1.1 500 Oops\r\nContent-Length: 3\r\n\r\nbad", 500, "retry", None),
        (b"HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n", 410, "gone", None),
        (b"HTTP/1.1 429 Slow\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n", 429, "retry", 7),
        (b"HTTP/1.1 503 No\r\nRetry-After: -1\r\nContent-Length: 0\r\n\r\n", 503, "retry", 0),
    ],
)
async def test_complete_answers(
    client: WebhookClient, raw: bytes, status: int, meaning: str, wait: float | None
) -> None:
    async with receiving(raw) as receiver:
        reply = await client.post(receiver.url, {}, BODY, timeout_seconds=5)
    assert (reply.status, reply.error, reply.retry_after_seconds) == (status, None, wait)
    assert outcome(reply) == meaning


async def test_connections_are_kept_and_cookies_are_not(client: WebhookClient) -> None:
    raw = b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n"
    async with receiving(raw) as receiver:
        for _ in range(3):
            assert (await client.post(receiver.url, {}, BODY, timeout_seconds=5)).status == 200
    assert receiver.connections == 1
    assert all("cookie" not in request.headers for request in receiver.requests)


async def test_a_redirect_is_not_visited(client: WebhookClient) -> None:
    async with receiving(OK) as inside:
        raw = f"HTTP/1.1 302 Found\r\nLocation: {inside.url}\r\nContent-Length: 0\r\n\r\n"
        async with receiving(raw.encode()) as receiver:
            reply = await client.post(receiver.url, {}, BODY, timeout_seconds=5)
    assert reply.status == 302
    assert "redirects are not followed" in (reply.error or "")
    assert outcome(reply) == "retry"
    assert inside.connections == 0


@pytest.mark.parametrize("first", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n"])
async def test_a_drip_ends_at_the_total_timeout(client: WebhookClient, first: bytes) -> None:
    async def drip(writer: asyncio.StreamWriter) -> None:
        writer.write(first)
        for byte in b"HTTP/1.1 200 OK and on and on and on" * 10:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0.1)

    async with receiving(drip) as receiver:
        reply = await client.post(receiver.url, {}, BODY, timeout_seconds=0.5)
    assert reply.timed_out
    assert reply.status == (200 if first else None)
    assert 0.4 < reply.duration_seconds < 2
    assert outcome(reply) == "retry"


async def test_silence_ends_at_the_total_timeout(client: WebhookClient) -> None:
    async with receiving(b"") as receiver:
        reply = await client.post(receiver.url, {}, BODY, timeout_seconds=0.3)
    assert reply.timed_out
    assert reply.error == "no complete answer within 0.3 seconds"


@pytest.mark.parametrize("framing", ["Content-Length: 50000000", "Connection: close"])
async def test_50_mb_are_cut_at_our_limit(client: WebhookClient, framing: str) -> None:
    sent = 0

    async def flood(writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(f"HTTP/1.1 200 OK\r\n{framing}\r\n\r\n".encode())
        for _ in range(500):
            writer.write(b"x" * 100_000)
            await writer.drain()
            sent += 100_000

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    async with receiving(flood) as receiver:
        reply = await client.post(receiver.url, {}, BODY, timeout_seconds=20)
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert (reply.status, reply.error, reply.body) == (200, None, "x" * 1_000)
    assert sent < 20_000_000
    assert grown_kib < 16_384


async def test_a_gzip_bomb_is_not_inflated(client: WebhookClient) -> None:
    bomb = gzip.compress(b"\0" * 20_000_000)
    raw = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(bomb)}\r\n\r\n"
    async with receiving(raw.encode() + bomb) as receiver:
        reply = await client.post(receiver.url, {}, BODY, timeout_seconds=5)
    assert (reply.status, reply.error) == (200, None)
    assert reply.body.startswith("\x1f\ufffd\x08")


async def test_the_kept_body_is_text_that_a_database_takes(client: WebhookClient) -> None:
    raw = b"HTTP/1.1 500 Oops\r\nContent-Length: 9\r\n\r\na\x00b\xff\xe5\x9d\x8f\x00c"
    async with receiving(raw) as receiver:
        reply = await client.post(receiver.url, {}, BODY, timeout_seconds=5)
    assert reply.body == "ab\ufffd坏c"


async def test_a_reset_in_the_body_is_no_delivery(client: WebhookClient) -> None:
    async def reset(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0"
        )
        writer.transport.abort()

    async with receiving(reset) as receiver:
        reply = await client.post(receiver.url, {}, BODY, timeout_seconds=5)
    assert (reply.status, reply.body) == (200, "half")
    assert reply.error is not None
    assert not reply.timed_out
    assert outcome(reply) == "retry"


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\n" + b"X-Big: " + b"x" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X-Many: x\r\n" * 5_000 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 999999 OK\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\x15\x03\x01\x00\x02\x02\x46",
    ],
)
async def test_what_is_not_http_is_an_error(client: WebhookClient, raw: bytes) -> None:
    async with receiving(raw) as receiver:
        reply = await client.post(receiver.url, {}, BODY, timeout_seconds=5)
    assert reply.error == "the answer was not valid HTTP"
    assert outcome(reply) == "retry"


async def test_a_receiver_that_hangs_up(client: WebhookClient) -> None:
    async def hang_up(writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with receiving(hang_up) as receiver:
        reply = await client.post(receiver.url, {}, BODY, timeout_seconds=5)
    assert reply.error == "the receiver hung up without an answer"
    assert len(receiver.requests) == 1


async def test_nobody_listens(client: WebhookClient) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{bound.getsockname()[1]}/token-in-path"
        reply = await client.post(url, {}, BODY, timeout_seconds=5)
    assert reply.error == "the connection failed: connection refused"
    assert reply.status is None


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])
async def test_proxies_of_the_environment_are_ignored(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    async with receiving(OK) as proxy, receiving(OK) as receiver:
        monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        async with WebhookClient.open(allow_loopback=True) as client:
            assert (await client.post(receiver.url, {}, BODY, timeout_seconds=5)).status == 200
    assert proxy.connections == 0
    assert receiver.connections == 1


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["1.1.1.1", "127.0.0.1"],
        ["1.1.1.1", "::1"],
        ["10.0.0.1"],
        ["64:ff9b::7f00:1"],
    ],
)
async def test_one_forbidden_address_refuses_the_name(addresses: list[str]) -> None:
    names = Names(addresses)
    async with receiving(OK) as receiver, WebhookClient.open(resolver=names) as client:
        url = f"https://rebind.example.com:{receiver.port}/"
        reply = await client.post(url, {}, BODY, timeout_seconds=5)
    assert names.asked == 1
    assert (reply.error or "").startswith("the host leads to ")
    assert not any(address in (reply.error or "") for address in addresses)
    assert receiver.connections == 0


async def test_the_development_setting_does_not_open_private_networks() -> None:
    async with WebhookClient.open(allow_loopback=True, resolver=Names(["10.0.0.1"])) as client:
        reply = await client.post("https://inside.example.com/", {}, BODY, timeout_seconds=5)
    assert reply.error == "the host leads to a private network: only public addresses are called"


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "127.1", "2130706433"]
)
async def test_a_literal_address_is_checked_too(host: str) -> None:
    async with receiving(OK) as receiver, WebhookClient.open() as client:
        reply = await client.post(f"https://{host}:{receiver.port}/", {}, BODY, timeout_seconds=5)
    assert reply.status is None
    assert reply.error
    assert receiver.connections == 0


async def test_a_stored_url_is_checked_again_when_it_is_called() -> None:
    names = Names(["1.1.1.1"])
    async with WebhookClient.open(resolver=names) as client:
        for url in (
            "http://crm.example.com/",
            "https://me:pw@crm.example.com/",
            "file:///etc/passwd",
        ):
            reply = await client.post(url, {}, BODY, timeout_seconds=5)
            assert reply.status is None
            assert (reply.error or "").startswith("the URL ")
    assert names.asked == 0


async def test_the_socket_is_the_last_gate() -> None:
    """aiohttp resolves no literal address, so nothing but the socket would see one that slipped by."""
    async with receiving(OK) as receiver, WebhookClient.open() as client:
        with pytest.raises(aiohttp.ClientConnectorError) as refused:
            await client._session.post(receiver.url, data=BODY)
    assert isinstance(refused.value.os_error, ForbiddenAddress)
    assert receiver.connections == 0


async def test_the_connected_address_is_the_one_that_was_checked() -> None:
    """A name that is harmless when looked up once and poisonous the second time is looked up once."""
    names = Names(["127.0.0.1"], ["10.0.0.1"])
    async with (
        receiving(OK) as receiver,
        WebhookClient.open(allow_loopback=True, resolver=names) as client,
    ):
        url = f"http://hook.localhost:{receiver.port}/"
        reply = await client.post(url, {}, BODY, timeout_seconds=5)
    assert (reply.status, names.asked) == (200, 1)
    assert receiver.requests[0].headers["host"] == f"hook.localhost:{receiver.port}"


async def test_the_system_resolver_finds_this_host(client: WebhookClient) -> None:
    async with receiving(OK) as receiver:
        url = f"http://localhost:{receiver.port}/"
        assert (await client.post(url, {}, BODY, timeout_seconds=5)).status == 200


async def test_a_name_without_an_address() -> None:
    async with WebhookClient.open(resolver=Names([])) as client:
        reply = await client.post("https://nobody.example.com/", {}, BODY, timeout_seconds=5)
    assert reply.error == "the host name could not be resolved"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A self-signed certificate for hook.localhost."""
    folder = tmp_path_factory.mktemp("tls")
    key, chain = folder / "key.pem", folder / "cert.pem"
    name = ["-subj", "/CN=hook.localhost", "-addext", "subjectAltName=DNS:hook.localhost"]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *name]
    subprocess.run([*command, "-keyout", key, "-out", chain], check=True, capture_output=True)
    return key, chain


async def test_tls_is_verified(certificate: tuple[Path, Path]) -> None:
    key, chain = certificate
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(chain, key)
    trusting = ssl.create_default_context(cafile=chain)
    names = Names(["127.0.0.1"])
    async with receiving(OK, server) as receiver:
        url = f"https://hook.localhost:{receiver.port}/"
        async with WebhookClient.open(allow_loopback=True, resolver=names) as client:
            untrusted = await client.post(url, {}, BODY, timeout_seconds=5)
        async with WebhookClient.open(allow_loopback=True, resolver=names, tls=trusting) as client:
            trusted = await client.post(url, {}, BODY, timeout_seconds=5)
            misnamed = await client.post(
                f"https://other.localhost:{receiver.port}/", {}, BODY, timeout_seconds=5
            )
    assert (untrusted.error or "").startswith("the certificate is not valid: self")
    assert (misnamed.error or "").startswith("the certificate is not valid: Hostname mismatch")
    assert (trusted.status, trusted.error) == (200, None)
    assert len(receiver.requests) == 1


async def test_plain_http_behind_https_is_an_error(client: WebhookClient) -> None:
    async with receiving(OK) as receiver:
        url = f"https://127.0.0.1:{receiver.port}/"
        reply = await client.post(url, {}, BODY, timeout_seconds=1)
    assert reply.status is None
    assert reply.error
    assert receiver.requests == []


async def test_a_slow_receiver_does_not_delay_another(client: WebhookClient) -> None:
    async with receiving(b"") as slow, receiving(OK) as quick:
        stuck = [client.post(slow.url, {}, BODY, timeout_seconds=2) for _ in range(50)]
        async with asyncio.TaskGroup() as tasks:
            waiting = [tasks.create_task(post) for post in stuck]
            replies = [await client.post(quick.url, {}, BODY, timeout_seconds=5) for _ in range(50)]
    assert all(reply.status == 200 and reply.duration_seconds < 1 for reply in replies)
    assert all(task.result().timed_out for task in waiting)


async def test_cancelling_is_not_swallowed(client: WebhookClient) -> None:
    async with receiving(b"") as receiver:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await client.post(receiver.url, {}, BODY, timeout_seconds=30)
