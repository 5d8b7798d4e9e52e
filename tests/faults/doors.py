"""How clients come to the replicas of a service: by one address, and past those that refuse the connection.

As a Service in Kubernetes leads to the pods that run; nothing else is tried again, and what fails is written down.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import httpx

_OUR_FAULT = 500


@dataclass
class Doors:
    """One address for each service, `http://SERVICE.replicas`, and what clients met behind them."""

    replicas: Mapping[str, Sequence[str]]
    """The URLs of a service's replicas."""
    away: set[str] = field(default_factory=set)
    """Those that nobody is led to, because they are about to end."""
    answered: int = 0
    refused: int = 0
    """Connections that one replica did not take, and another did."""
    failed: list[str] = field(default_factory=list)
    """Requests that got no answer, or one that says the service is to blame."""

    def urls(self) -> dict[str, str]:
        """The address of each service."""
        return {service: f"http://{service}.replicas" for service in self.replicas}

    def hold(self) -> None:
        """Fail when a request has."""
        assert not self.failed, f"{len(self.failed)} requests failed: {'; '.join(self.failed[:5])}"

    def transport(self) -> httpx.AsyncBaseTransport:
        """For one client, which closes it."""
        return _Transport(self)


class _Transport(httpx.AsyncHTTPTransport):
    def __init__(self, doors: Doors) -> None:
        super().__init__()
        self._doors = doors
        self._turns = itertools.count()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        doors, asked = self._doors, f"{request.method} {request.url.path[:60]}"
        try:
            answer = await self._through_any(request)
        except httpx.TransportError as error:
            doors.failed.append(f"{asked}: {type(error).__name__} {error}")
            raise
        doors.answered += 1
        if answer.status_code >= _OUR_FAULT:
            said = (await answer.aread()).decode(errors="replace")[:300]
            doors.failed.append(f"{asked}: {answer.status_code} {said}")
        return answer

    async def _through_any(self, request: httpx.Request) -> httpx.Response:
        """By the replica whose turn it is, or the next that takes the connection."""
        doors = self._doors
        all_of_it = doors.replicas[request.url.host.partition(".")[0]]
        replicas = [replica for replica in all_of_it if replica not in doors.away]
        first = next(self._turns)
        for turn in range(first, first + len(replicas) - 1):
            try:
                return await self._through(request, replicas[turn % len(replicas)])
            except httpx.ConnectError:
                doors.refused += 1
        return await self._through(request, replicas[(first - 1) % len(replicas)])

    async def _through(self, request: httpx.Request, replica: str) -> httpx.Response:
        url = httpx.URL(replica)
        request.url = request.url.copy_with(host=url.host, port=url.port)
        return await super().handle_async_request(request)
