"""`listen`: receives webhooks on this machine, verifies each one and prints a line about it."""

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any
from urllib.parse import urlsplit

import httpx
import typer
import uvloop
from rich.console import Console

from services.cli.client import open_client, request
from services.cli.context import Context, read_context
from services.cli.receiver import Delivery, Receiver, Secrets, line
from shared.errors import StartupError
from shared.http.app import Health
from shared.http.serve import Service, run
from shared.telemetry import configure_logging
from shared.webhook import SecretError, SignatureError, verify

_HOST = "127.0.0.1"
_LOCAL = frozenset({"127.0.0.1", "localhost", "::1"})
_ASK_AGAIN_SECONDS = 1.0


class EndpointSecrets:
    """The secrets of the endpoints that point at this receiver, read with the context's key and remembered."""

    def __init__(self, context: Context, port: int, only: Sequence[str]) -> None:
        self._context = context
        self._port = port
        self._only = frozenset(only)
        self._known: list[str] = []
        self._asked_at = 0.0

    async def __call__(self, again: bool) -> Sequence[str]:
        if again and time.monotonic() - self._asked_at > _ASK_AGAIN_SECONDS:
            self._asked_at = time.monotonic()
            await asyncio.to_thread(self.read)
        return self._known

    def read(self) -> list[str]:
        """Ask the system which endpoints point here; returns their ids. What fails leaves the known secrets."""
        found: list[str] = []
        secrets: list[str] = []
        with open_client(self._context) as client:
            for endpoint in _endpoints(client):
                if endpoint["id"] in self._only or (
                    not self._only and self._is_here(endpoint["url"])
                ):
                    found.append(endpoint["id"])
                    path = f"/v1/endpoints/{endpoint['id']}/secret"
                    secrets.append(request(client, "GET", path)["secret"])
        self._known = secrets
        return found

    def _is_here(self, url: str) -> bool:
        parts = urlsplit(url)
        return parts.hostname in _LOCAL and (parts.port or 80) == self._port


def listen(
    port: Annotated[int, typer.Option(help="Port to receive on.", min=1, max=65535)] = 9000,
    endpoint: Annotated[
        list[str] | None,
        typer.Option(help="Only this endpoint's secret; without it, of all that point here."),
    ] = None,
    secret: Annotated[
        list[str] | None, typer.Option(help="Verify with this whsec_... and ask no system.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print each delivery as a line of JSON.")
    ] = False,
) -> None:
    """Receive webhooks on 127.0.0.1, verify their signatures and print a line for each."""
    configure_logging("warning", json=False)
    console = Console(highlight=False, markup=False, soft_wrap=True)
    secrets = _given(secret) if secret else _asked(console, read_context(), port, endpoint or ())
    show = (
        _print_json
        if as_json
        else lambda delivery: console.print(line(delivery, time.strftime("%H:%M:%S")))
    )
    uvloop.run(_listen(Receiver(secrets, show), port))


async def _listen(receiver: Receiver, port: int) -> None:
    service = Service("listen", receiver, Health())
    await run(
        [service],
        receiver,
        host=_HOST,
        port=port,
        metrics_port=None,
        grace_seconds=6.0,
        stop=asyncio.Event(),
    )


def _given(secrets: Sequence[str]) -> Secrets:
    try:
        verify(
            secrets,
            {"webhook-id": "a", "webhook-timestamp": "0", "webhook-signature": "v1,"},
            b"",
            0,
        )
    except SecretError as error:
        raise StartupError(f"--secret: {error}") from error
    except SignatureError:
        pass  # the secrets can verify; this message was never meant to be genuine

    async def given(again: bool) -> Sequence[str]:
        return secrets

    return given


def _asked(console: Console, context: Context, port: int, only: Sequence[str]) -> EndpointSecrets:
    secrets = EndpointSecrets(context, port, only)
    found = secrets.read()
    if found:
        console.print(f"listening on http://{_HOST}:{port}/ for {', '.join(found)}")
    else:
        console.print(
            f"listening on http://{_HOST}:{port}/; no endpoint points here yet (kind: endpoint, url: ...)"
        )
    return secrets


def _endpoints(client: httpx.Client) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        page = request(
            client,
            "GET",
            "/v1/endpoints",
            params={"limit": 500} | ({"cursor": cursor} if cursor else {}),
        )
        items += page["items"]
        cursor = page.get("next")
        if not cursor:
            return items


def _print_json(delivery: Delivery) -> None:
    print(json.dumps(asdict(delivery)), flush=True)
