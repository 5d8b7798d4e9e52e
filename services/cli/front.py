"""`origin`: one port in front of the services of one machine, as a gateway is in a cluster."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Annotated
from urllib.parse import urlsplit

import typer
import uvloop

from services.cli.origin import ProxyOrigin
from services.cli.paths import SERVICES
from shared.errors import StartupError
from shared.http.app import Health
from shared.http.serve import LINGER_SECONDS, Service, run
from shared.telemetry import configure_logging

_GRACE_SECONDS = 30.0


def origin(
    host: Annotated[str, typer.Option(envvar="AFTERWORD_HOST", help="Address to listen on.")] = (
        "127.0.0.1"
    ),
    port: Annotated[
        int, typer.Option(envvar="AFTERWORD_PORT", help="Port to listen on.", min=0, max=65535)
    ] = 8000,
    upstream: Annotated[
        list[str] | None,
        typer.Option(help="SERVICE=http://host:port, repeatable; by default http://SERVICE:8000."),
    ] = None,
    trusted_proxies: Annotated[
        str,
        typer.Option(
            envvar="AFTERWORD_TRUSTED_PROXIES",
            help="Addresses of a proxy in front of this one, whose X-Forwarded-For says who the client is.",
        ),
    ] = "",
) -> None:
    """Send each request to the service of its path, and say who the client is; keeps nothing."""
    configure_logging("info", json=True)
    uvloop.run(_serve(upstreams(upstream or ()), host, port, trusted_proxies))


def upstreams(given: Sequence[str]) -> Mapping[str, str]:
    """Where each service is. Raises `StartupError`."""
    found = {name: f"http://{name}:8000" for name in SERVICES}
    for each in given:
        name, _, url = each.partition("=")
        parts = urlsplit(url)
        if name not in found or parts.scheme != "http" or not parts.hostname or parts.path:
            raise StartupError(
                f"--upstream {each!r} must read SERVICE=http://host:port; the services are {', '.join(SERVICES)}"
            )
        found[name] = url
    return found


async def _serve(places: Mapping[str, str], host: str, port: int, trusted_proxies: str) -> None:
    async with ProxyOrigin.open(places) as proxy:
        await run(
            [Service("origin", proxy, Health())],
            proxy,
            host=host,
            port=port,
            metrics_port=None,
            grace_seconds=_GRACE_SECONDS,
            stop=asyncio.Event(),
            trusted_proxies=trusted_proxies,
            linger_seconds=LINGER_SECONDS,
        )
