"""`dev`: all services in one process on one port, on files in a directory, ready to be tried."""

import asyncio
import base64
import os
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
import uvloop
import yaml
from rich.console import Console

from services.cli.compose import Origin, create_topics, migrate_all, open_services, settings_of
from services.cli.context import Context, write_context
from services.cli.links import follow_links
from services.cli.paths import SERVICES
from shared.auth import hash_secret, mint_key
from shared.errors import StartupError
from shared.http.serve import Service, run
from shared.log.embedded.lock import hold_directory
from shared.settings import Settings
from shared.telemetry import configure_logging

WORKSPACE = "dev"
_KEY_ID = "dev"


@dataclass(frozen=True)
class Embedded:
    """An embedded system on a directory, open but not serving yet."""

    services: list[Service]
    origin: Origin
    settings: Mapping[str, Settings]


def dev(
    port: Annotated[int, typer.Option(help="Port of everything.", min=0, max=65535)] = 8000,
    data: Annotated[
        Path, typer.Option(help="Directory of the log, the databases and the access file.")
    ] = Path(".afterword"),
    key: Annotated[
        str | None, typer.Option(help="API key to use instead of a minted one: awk_ID_SECRET.")
    ] = None,
    verbose: Annotated[bool, typer.Option(help="Show the services' own log lines.")] = False,
) -> None:
    """Run all services here, on one port, with files in a directory: no server is needed."""
    configure_logging("info" if verbose else "warning", json=False)
    uvloop.run(_dev(port, data, key))


async def _dev(port: int, data: Path, key: str | None) -> None:
    presented = prepare(data, {WORKSPACE: {}}, key=key)[WORKSPACE]
    url = f"http://127.0.0.1:{port}"
    async with open_embedded(data, url) as system:
        context = Context(url, presented)
        stop = asyncio.Event()
        for service in system.services:
            if service.name == "trigger":
                service.work.append(lambda stop: follow_links(context, stop))
        await serve_embedded(system, port, stop, on_started=lambda: _welcome(context, data))


def prepare(
    data: Path, workspaces: dict[str, dict[str, Any]], *, key: str | None = None
) -> dict[str, str]:
    """Make the directory, its token keys and its access file, and return a key for each workspace. Raises
    `StartupError` while a system runs on the directory, whose keys must go on working.

    The access file holds hashes, so a second start mints new keys unless one is given; the old ones stop working.
    """
    keys = {name: _key(name, key if name == WORKSPACE else None) for name in workspaces}
    document = {
        "workspaces": [{"id": name} | fields for name, fields in workspaces.items()],
        "keys": [
            {"id": id, "workspace": name, "hash": hashed, "scopes": ["*"]}
            for name, (id, _, hashed) in keys.items()
        ],
    }
    with hold_directory(data):
        _write_private(data / "access.yaml", yaml.safe_dump(document))
        ring = data / "token-keys"
        if not ring.exists():
            _write_private(ring, "dev:" + base64.b64encode(secrets.token_bytes(32)).decode())
    return {name: presented for name, (_, presented, _) in keys.items()}


def _key(workspace: str, given: str | None) -> tuple[str, str, str]:
    if given is None:
        minted, hashed = mint_key(workspace)
        return workspace, minted, hashed
    prefix, _, rest = given.partition("_")
    id, _, secret = rest.partition("_")
    if prefix != "awk" or not id or len(secret) < 16:
        raise StartupError(
            "--key must look like awk_ID_SECRET with a secret of 16 characters or more"
        )
    return id, given, hash_secret(secret)


@asynccontextmanager
async def open_embedded(data: Path, url: str) -> AsyncIterator[Embedded]:
    """Migrate the directory's databases, create its topics and open all services on it."""
    values: dict[str, Any] = {
        "log_url": f"sqlite:///{data}",
        "database_url": f"sqlite:///{data}",
        "public_url": url,
        "access_file": data / "access.yaml",
        "token_keys": None,
        "token_keys_file": data / "token-keys",
        "allow_loopback": True,
    }
    settings = {name: settings_of(name, **values) for name in SERVICES}
    await create_topics(settings["ingest"])
    await migrate_all(SERVICES, values["database_url"])
    async with open_services(SERVICES, settings) as services:
        yield Embedded(services, Origin(services), settings)


async def serve_embedded(
    system: Embedded,
    port: int,
    stop: asyncio.Event,
    *,
    on_started: Callable[[], None] = lambda: None,
) -> None:
    """Serve the system on one port until stopped."""
    await run(
        system.services,
        system.origin,
        host="127.0.0.1",
        port=port,
        metrics_port=None,
        grace_seconds=10.0,
        stop=stop,
        on_started=on_started,
    )


def _write_private(path: Path, text: str) -> None:
    with os.fdopen(
        os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8"
    ) as file:
        file.write(text)


def _welcome(context: Context, data: Path) -> None:
    path = write_context(context)
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"Afterword is up at {context.url} (workspace {WORKSPACE}, data in {data})")
    console.print(f"API key: {context.api_key}")
    console.print(f"Other commands find both in {path}; a program may use:")
    console.print(f"  export AFTERWORD_URL={context.url} AFTERWORD_API_KEY={context.api_key}")
    console.print("Next: afterword apply -f examples/quickstart    (Ctrl-C ends it)")
