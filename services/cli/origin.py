"""One origin in front of four processes: each request goes to the service of its path, streamed."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import aiohttp
from starlette.responses import JSONResponse
from starlette.types import Message, Receive, Scope, Send
from yarl import URL

from services.cli.paths import service_of
from shared.http.problems import Problem, unavailable
from shared.telemetry import log

_CONNECT_SECONDS = 5.0
_PROBE_SECONDS = 2.0
_IDLE_SECONDS = 15.0  # well below the time after which a service hangs up
_HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
    }
    | {b"te", b"trailer", b"transfer-encoding", b"upgrade", b"expect"}
)
_FORWARDED = (b"x-forwarded-", b"forwarded")
Headers = list[tuple[bytes, bytes]]


class _ClientGone(Exception):
    """Who asked has left; nothing is to be answered."""


class ProxyOrigin:
    """An ASGI application over services at other addresses; it keeps no state and changes no body."""

    def __init__(self, session: aiohttp.ClientSession, upstreams: Mapping[str, str]) -> None:
        self._session = session
        self._upstreams = upstreams

    @classmethod
    @asynccontextmanager
    async def open(cls, upstreams: Mapping[str, str]) -> AsyncIterator["ProxyOrigin"]:
        """`upstreams` says where each service is, as http://host:port."""
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_IDLE_SECONDS),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
        ) as session:
            yield cls(session, upstreams)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        service = service_of(path)
        try:
            if path.startswith("/health/"):
                await self._health(path)
                await JSONResponse({"status": path.rpartition("/")[2]})(scope, receive, send)
            elif service:
                await self._forward(service, scope, receive, send)
            else:
                unknown = Problem(404, "not-found", f"Nothing is served at {path[:200]}.")
                await unknown.response(None)(scope, receive, send)
        except Problem as problem:
            await problem.response(None)(scope, receive, send)
        except _ClientGone:
            log.debug("origin_client_gone", path=path)

    async def _forward(self, service: str, scope: Scope, receive: Receive, send: Send) -> None:
        target = f"{self._upstreams[service]}{_raw_path(scope)}"
        started = False
        try:
            async with self._session.request(
                scope["method"],
                URL(target, encoded=True),
                headers=[
                    (n.decode("latin-1"), v.decode("latin-1"))
                    for n, v in with_client(end_to_end(scope["headers"]), scope["client"])
                ],
                data=_body(receive) if _has_body(scope["headers"]) else None,
                allow_redirects=False,
            ) as response:
                headers = [
                    (name.lower(), value) for name, value in end_to_end(list(response.raw_headers))
                ]
                started = True
                await send(
                    {"type": "http.response.start", "status": response.status, "headers": headers}
                )
                async for chunk in response.content.iter_any():
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
                await send({"type": "http.response.body", "body": b""})
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            log.warning(
                "origin_upstream_failed", service=service, reason=str(error) or type(error).__name__
            )
            if started:
                raise  # the answer is half sent: only a broken connection tells so
            raise _away(service, error) from error

    async def away(self, path: str = "/health/ready") -> list[str]:
        """The services that do not answer this probe with 200."""
        answers = await asyncio.gather(*(self._probe(name, path) for name in self._upstreams))
        return [name for name, well in zip(self._upstreams, answers, strict=True) if not well]

    async def _health(self, path: str) -> None:
        """Ready when every service is. Raises a 503 `Problem` that names those that are not."""
        if away := await self.away(path):
            raise unavailable(f"Not ready: {', '.join(away)}.")

    async def _probe(self, service: str, path: str) -> bool:
        try:
            timeout = aiohttp.ClientTimeout(total=_PROBE_SECONDS)
            async with self._session.get(
                f"{self._upstreams[service]}{path}", timeout=timeout
            ) as response:
                return response.status == 200
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            log.info(
                "origin_probe_failed", service=service, reason=str(error) or type(error).__name__
            )
            return False


def end_to_end(headers: list[tuple[bytes, bytes]] | Headers) -> Headers:
    """The headers that are for the other end: without those of this connection, and those that it names."""
    named = {
        part.strip().lower()
        for n, v in headers
        if n.lower() == b"connection"
        for part in v.split(b",")
    }
    return [(n, v) for n, v in headers if n.lower() not in _HOP_BY_HOP and n.lower() not in named]


def with_client(headers: Headers, client: tuple[str, int] | None) -> Headers:
    """The headers with who has connected to us, and nothing of what it says about that itself."""
    own = [(n, v) for n, v in headers if not n.lower().startswith(_FORWARDED)]
    return [*own, (b"x-forwarded-for", client[0].encode())] if client else own


def _has_body(headers: Headers) -> bool:
    return any(
        name == b"transfer-encoding" or (name == b"content-length" and value != b"0")
        for name, value in headers
    )


async def _body(receive: Receive) -> AsyncIterator[bytes]:
    while True:
        message: Message = await receive()
        if message["type"] == "http.disconnect":
            raise _ClientGone
        if chunk := message.get("body", b""):
            yield chunk
        if not message.get("more_body"):
            return


def _raw_path(scope: Scope) -> str:
    raw = (scope.get("raw_path") or scope["path"].encode()).decode("latin-1")
    query = scope["query_string"].decode("latin-1")
    return f"{raw}?{query}" if query else raw


def _away(service: str, error: Exception) -> Problem:
    """503 when it was not reached, so nothing was done; 502 when it broke off, so nobody knows."""
    if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
        return unavailable(f"The process of {service} is not there; try again.")
    return Problem(
        502,
        "bad-gateway",
        f"The process of {service} broke off; it may have done what was asked.",
        retry_after=2,
    )
