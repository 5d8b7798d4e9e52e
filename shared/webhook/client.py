"""Posts signed messages to URLs that strangers chose, and only ever to a checked address.

The socket itself is made from the address that was checked, whether it came from DNS or stood in the URL,
so there is no moment between the check and the connection in which a name could change.
"""

import socket
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import lru_cache
from importlib.metadata import version
from time import perf_counter

import aiohttp
from aiohttp.abc import AbstractResolver

from shared.deadlines import Deadlines
from shared.webhook.endpoints import check_headers, check_url
from shared.webhook.failures import sentence
from shared.webhook.resolver import CheckedResolver, SystemResolver, refuse_forbidden
from shared.webhook.schedule import Reply, retry_after

_READ_BYTES = 4_096
_KEPT_CHARACTERS = 1_000
_CONNECTIONS = 200
_CONNECTIONS_PER_HOST = 16
_KEEPALIVE_SECONDS = (
    4.0  # below the 5 s at which common servers hang up, perhaps under our next POST
)
_HEADERS = {
    "User-Agent": f"Afterword/{version('afterword')}",
    "Content-Type": "application/json",
    "Accept-Encoding": "identity",
}


class WebhookClient:
    """One pool of connections for all receivers; safe to use from many tasks at once.

    It follows no redirect, keeps no cookie, inflates nothing, and ignores proxies of the environment.
    At most 200 calls are under way, 16 to one host; a call beyond that waits, and its own timeout runs.
    So whoever sends keeps fewer than that in flight, lest slow receivers make others time out.
    """

    def __init__(self, session: aiohttp.ClientSession, *, allow_loopback: bool) -> None:
        self._session = session
        self._allow_loopback = allow_loopback
        self._deadlines = Deadlines()

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        *,
        allow_loopback: bool = False,
        resolver: AbstractResolver | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> AsyncIterator["WebhookClient"]:
        """Open the pool; `resolver` finds the addresses that are then checked, `tls` replaces the trust."""

        def checked_socket(address: aiohttp.AddrInfoType) -> socket.socket:
            family, kind, protocol, _, sockaddr = address
            refuse_forbidden(str(sockaddr[0]), allow_loopback=allow_loopback)
            return socket.socket(family, kind, protocol)

        checked = CheckedResolver(resolver or SystemResolver(), allow_loopback=allow_loopback)
        connector = aiohttp.TCPConnector(
            resolver=checked,
            socket_factory=checked_socket,
            ssl=tls or ssl.create_default_context(),
            limit=_CONNECTIONS,
            limit_per_host=_CONNECTIONS_PER_HOST,
            keepalive_timeout=_KEEPALIVE_SECONDS,
        )
        try:
            async with aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                headers=_HEADERS,
                timeout=aiohttp.ClientTimeout(total=None),  # `post` has the only, total, deadline
                trust_env=False,
                auto_decompress=False,
                read_bufsize=_READ_BYTES,
            ) as session:
                yield cls(session, allow_loopback=allow_loopback)
        finally:
            await checked.close()

    async def post(
        self,
        url: str,
        headers: Mapping[str, str],
        body: bytes,
        *,
        timeout_seconds: float,
        extra_headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """POST once and tell what came of it; nothing a receiver or the network does is raised.

        `headers` are ours (the signature), `extra_headers` the endpoint owner's, who cannot override
        them. `timeout_seconds` spans everything: waiting for a connection, DNS, TLS, and the reply.
        """
        started = perf_counter()
        status: int | None = None
        wait: float | None = None
        kept = bytearray()
        error: str | None = None
        timed_out = False
        try:
            _check(url, self._allow_loopback)
            sent = _merged(extra_headers, headers) if extra_headers else headers
            async with self._deadlines.within(timeout_seconds):
                response = await self._session.post(
                    url, data=body, headers=sent, allow_redirects=False
                )
                try:
                    status = response.status
                    if (asked := response.headers.get("Retry-After")) is not None:
                        wait = retry_after(asked, datetime.now(UTC))
                    await _read_some(response.content, kept)
                finally:
                    if not response.closed:
                        response.close()
            if 300 <= status <= 399:
                error = "redirects are not followed: configure the URL that answers itself"
        except TimeoutError:
            timed_out = True
            error = f"no complete answer within {timeout_seconds:g} seconds"
        except (aiohttp.ClientError, OSError, ValueError) as failure:
            error = sentence(failure)
        return Reply(status, error, _text(kept), wait, perf_counter() - started, timed_out)


@lru_cache(maxsize=4_096)
def _check(url: str, allow_loopback: bool) -> None:
    """Raise `UrlError` for a URL that may not be called. That is a matter of its text alone, so once will do."""
    check_url(url, allow_loopback=allow_loopback)


async def _read_some(content: aiohttp.StreamReader, kept: bytearray) -> None:
    """Collect the reply up to our limit; what came before a failure stays in `kept`."""
    while len(kept) < _READ_BYTES and not content.at_eof():
        kept += await content.read(_READ_BYTES - len(kept))


def _merged(extra: Mapping[str, str], ours: Mapping[str, str]) -> dict[str, str]:
    """Both sets of headers, ours last, each name once; raises `HeaderError` for the owner's."""
    check_headers(extra)
    return {name.lower(): value for name, value in (*extra.items(), *ours.items())}


def _text(kept: bytearray) -> str:
    # PostgreSQL refuses NUL in text.
    return kept.decode("utf-8", "replace").replace("\x00", "")[:_KEPT_CHARACTERS]
