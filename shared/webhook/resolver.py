"""Looks up host names for the webhook client and refuses those that lead off the public internet."""

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor

from aiohttp.abc import AbstractResolver, ResolveResult

from shared.webhook.addresses import forbidden
from shared.webhook.failures import ForbiddenAddress

_LOOKUPS = 16


class SystemResolver(AbstractResolver):
    """The operating system's resolver on threads of its own.

    A receiver's name server that never answers holds a thread for many seconds; on the event loop's
    shared threads it would hold up everybody else's work.
    """

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_LOOKUPS, thread_name_prefix="webhook-dns")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """All addresses of the name, in the system's order of preference; raises `OSError`."""
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(
            self._threads, socket.getaddrinfo, host, port, family, socket.SOCK_STREAM
        )
        return [
            ResolveResult(
                hostname=host,
                host=str(sockaddr[0]),
                port=port,
                family=found_family,
                proto=protocol,
                flags=socket.AI_NUMERICHOST,
            )
            for found_family, _, protocol, _, sockaddr in found
        ]

    async def close(self) -> None:
        """Take no more names; does not wait for those being looked up."""
        self._threads.shutdown(wait=False, cancel_futures=True)


class CheckedResolver(AbstractResolver):
    """Passes on what another resolver finds, or refuses the whole name if one address is forbidden."""

    def __init__(self, inner: AbstractResolver, *, allow_loopback: bool) -> None:
        self._inner = inner
        self._allow_loopback = allow_loopback

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """What the other resolver finds; raises `ForbiddenAddress`, or the other's `OSError`."""
        found = await self._inner.resolve(host, port, family)
        if not found:
            raise OSError("the name has no address")  # aiohttp would fail an assertion
        for result in found:
            refuse_forbidden(result["host"], allow_loopback=self._allow_loopback)
        return found

    async def close(self) -> None:
        """Close the other resolver."""
        await self._inner.close()


def refuse_forbidden(address: str, *, allow_loopback: bool) -> None:
    """Raise `ForbiddenAddress` unless this address may be connected to."""
    reason = forbidden(address, allow_loopback=allow_loopback)
    if reason is not None:
        raise ForbiddenAddress(f"the host leads to {reason}: only public addresses are called")
