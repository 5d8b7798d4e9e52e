"""`dev-distributed`: four processes on real Kafka and PostgreSQL, one origin in front, in the foreground."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

import typer
import uvloop
from rich.console import Console

from services.cli.compose import create_topics, migrate_all, settings_of
from services.cli.context import Context, write_context
from services.cli.dev import WORKSPACE, prepare
from services.cli.links import follow_links
from services.cli.origin import ProxyOrigin
from services.cli.paths import SERVICES
from shared.errors import StartupError
from shared.http.app import Health
from shared.http.serve import Service, run
from shared.telemetry import configure_logging, log

_HOST = "127.0.0.1"
_METRICS_OFFSET = 10
_GRACE_SECONDS = 15.0
_POLL_SECONDS = 0.2
_LONGEST_LINE = 1_000_000


def dev_distributed(
    kafka_url: Annotated[str, typer.Option(envvar="AFTERWORD_LOG_URL", help="kafka://host:port")],
    postgres_url: Annotated[
        str, typer.Option(envvar="AFTERWORD_DATABASE_URL", help="postgresql://user@host/database")
    ],
    port: Annotated[
        int,
        typer.Option(
            help="Port of the origin; the services take the four after it, their metrics those 10 on.",
            min=1,
            max=65500,
        ),
    ] = 8080,
    key: Annotated[
        str | None, typer.Option(help="API key to use instead of a minted one: awk_ID_SECRET.")
    ] = None,
    data: Annotated[
        Path, typer.Option(help="Directory of the access file and the token keys.")
    ] = Path(".afterword/distributed"),
) -> None:
    """Run each service as its own process on real Kafka and PostgreSQL, behind one port."""
    configure_logging("warning", json=False)
    context = Context(f"http://{_HOST}:{port}", prepare(data, {WORKSPACE: {}}, key=key)[WORKSPACE])
    environment = {
        "AFTERWORD_LOG_URL": kafka_url,
        "AFTERWORD_DATABASE_URL": postgres_url,
        "AFTERWORD_PUBLIC_URL": context.url,
        "AFTERWORD_ACCESS_FILE": str((data / "access.yaml").resolve()),
        "AFTERWORD_TOKEN_KEYS_FILE": str((data / "token-keys").resolve()),
        "AFTERWORD_HOST": _HOST,
        "AFTERWORD_LOG_FORMAT": "console",
        "AFTERWORD_GRACE_SECONDS": str(_GRACE_SECONDS),
        "AFTERWORD_ALLOW_LOOPBACK": "true",
    }
    uvloop.run(_run(context, port, environment))


async def _run(context: Context, port: int, environment: Mapping[str, str]) -> None:
    values = {name.removeprefix("AFTERWORD_").lower(): value for name, value in environment.items()}
    settings = settings_of("ingest", **values, token_keys=None)
    await create_topics(settings)
    await migrate_all(SERVICES, settings.database_url, settings.database_ca_file)
    ports = {name: port + 1 + index for index, name in enumerate(SERVICES)}
    async with ProxyOrigin.open(
        {name: f"http://{_HOST}:{at}" for name, at in ports.items()}
    ) as origin:

        async def children(stop: asyncio.Event) -> None:
            await run_children(ports, environment, stop)

        async def welcome(stop: asyncio.Event) -> None:
            while not stop.is_set():
                await asyncio.sleep(_POLL_SECONDS)
                if not await origin.away():
                    break
            if not stop.is_set():
                _welcome(context, ports)
                await follow_links(context, stop)

        await run(
            [Service("origin", origin, Health(), [children, welcome])],
            origin,
            host=_HOST,
            port=port,
            metrics_port=None,
            grace_seconds=_GRACE_SECONDS + 10.0,
            stop=asyncio.Event(),
        )


async def run_children(
    ports: Mapping[str, int], environment: Mapping[str, str], stop: asyncio.Event
) -> None:
    """Run a process per service until stopped. Raises `StartupError` naming the first that ends by itself.

    However it ends, all of them are asked to finish, waited for, and killed only after the grace period.
    """
    async with _started(ports, environment) as processes:
        stopped = asyncio.create_task(stop.wait())
        ends = {asyncio.create_task(process.wait()): name for name, process in processes.items()}
        try:
            done, _ = await asyncio.wait([stopped, *ends], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (stopped, *ends):
                task.cancel()
        if stopped in done:
            return
        name = next(ends[task] for task in done if task in ends)
        code = processes[name].returncode
        log.error("process_ended", service=name, code=code)  # before the others have finished, too
        raise StartupError(
            f"the process of {name} ended by itself with exit code {code}; its last lines are above"
        )


@asynccontextmanager
async def _started(
    ports: Mapping[str, int], environment: Mapping[str, str]
) -> AsyncIterator[dict[str, asyncio.subprocess.Process]]:
    # The key ring is ours: one that our own environment names would be a second.
    inherited = {
        name: value for name, value in os.environ.items() if name != "AFTERWORD_TOKEN_KEYS"
    }
    processes: dict[str, asyncio.subprocess.Process] = {}
    forwards: list[asyncio.Task[None]] = []
    try:
        for name, port in ports.items():
            own = {
                "AFTERWORD_PORT": str(port),
                "AFTERWORD_METRICS_PORT": str(port + _METRICS_OFFSET),
            }
            processes[name] = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "services.cli",
                "serve",
                name,
                env={**inherited, **environment, **own},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                limit=_LONGEST_LINE,
                start_new_session=True,  # Ctrl-C is for this process, which then ends them in order
            )
            forwards.append(asyncio.create_task(_forward(name, processes[name])))
        yield processes
    finally:
        await asyncio.gather(*(_end(process) for process in processes.values()))
        await asyncio.gather(*forwards)


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.send_signal(signal.SIGTERM)
    try:
        async with asyncio.timeout(_GRACE_SECONDS + 5.0):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


async def _forward(
    name: str,
    process: asyncio.subprocess.Process,
    write: Callable[[str], object] = sys.stderr.write,
) -> None:
    """Show a process's lines under its name until it closes its output."""
    if process.stdout is None:
        raise RuntimeError("the process was started without a pipe")
    while True:
        try:
            line = await process.stdout.readline()
        except ValueError:  # longer than the limit; what was read of it is dropped
            line = b"(a line too long to show)"
        if not line:
            return
        write(f"{name:8} | {line.decode('utf-8', 'replace').rstrip()}\n")


def _welcome(context: Context, ports: Mapping[str, int]) -> None:
    console = Console(highlight=False, soft_wrap=True, markup=False)
    processes = ", ".join(f"{name} on {port}" for name, port in ports.items())
    console.print(f"Afterword is up at {context.url} (workspace {WORKSPACE}; {processes})")
    console.print(f"API key: {context.api_key}")
    console.print(f"Other commands find both in {write_context(context)}; a program may use:")
    console.print(f"  export AFTERWORD_URL={context.url} AFTERWORD_API_KEY={context.api_key}")
    console.print("Next: afterword apply -f examples/quickstart    (Ctrl-C ends it)")
