"""`demo`: the main job on real purchases, through a running system or one that it starts here."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
import uvloop
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from services.cli.context import Context, write_context
from services.cli.demo import cdnow, report, system
from services.cli.demo.receiving import Received
from services.cli.demo.run import Plan, Result, ended, run_demo
from services.cli.demo.world import sales_of
from services.cli.dev import WORKSPACE
from services.cli.links import follow_links
from shared.errors import StartupError
from shared.http.app import Health
from shared.http.serve import Service, run
from shared.telemetry import configure_logging

_INTERRUPTED = 130


@dataclass(frozen=True)
class _Options:
    plan: Plan
    url: str | None
    key: str | None
    data: Path | None
    port: int
    stay: bool
    json: Path | None


def demo(
    events: Annotated[
        int, typer.Option(help="About how many purchases.", min=1, max=69_659)
    ] = 10_000,
    seed: Annotated[int, typer.Option(help="Other customers, other answers.")] = 1,
    url: Annotated[
        str | None, typer.Option(help="A running system instead of one started here.")
    ] = None,
    key: Annotated[
        str | None,
        typer.Option(
            help="With --url: a key of an empty workspace with `clock: event`.",
            envvar="AFTERWORD_DEMO_KEY",
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            help="An empty directory to keep the system's files in; else they are temporary."
        ),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            help="Port of the system started here; free, with --stay 8000.", min=1, max=65_535
        ),
    ] = None,
    stay: Annotated[
        bool, typer.Option("--stay", help="Stay up afterwards, for trying things.")
    ] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the report to this file too.")
    ] = None,
) -> None:
    """Run real purchases through the whole system, report, and judge its laws: exit code 1 when one did not hold."""
    if bool(url) != bool(key):
        raise StartupError(
            "--url and --key belong together: the key of an empty workspace with `clock: event`"
        )
    if url and stay:
        raise StartupError(
            "--stay is for the system that is started here; the one at --url stays anyway"
        )
    purchases = cdnow.sample(cdnow.read_purchases(cdnow.find_file()), events, seed)
    plan = Plan.of(sales_of(purchases, seed), seed)
    at = port or (8000 if stay else system.free_port())
    configure_logging("warning", json=False)
    options = _Options(plan, url.rstrip("/") if url else None, key, data, at, stay, json_file)
    sys.exit(uvloop.run(_demo(options)))


async def _demo(options: _Options) -> int:
    console = Console(highlight=False)
    received = Received()
    receiver_port = system.free_port()
    stop = asyncio.Event()
    service = Service("listen", received.receiver(), Health())
    listening = asyncio.create_task(
        run(
            [service],
            service.app,
            host="127.0.0.1",
            port=receiver_port,
            metrics_port=None,
            grace_seconds=6.0,
            stop=stop,
        )
    )
    try:
        async with _opened(options, console) as contexts:
            result = await _watched(
                contexts[system.DEMO], options.plan, received, receiver_port, stop
            )
            if result is None:
                console.print("stopped")
                return _INTERRUPTED
            _report(console, result, options.json)
            if options.stay:
                await _stay(console, contexts, result, stop)
            return 0 if result.held else 1
    finally:
        stop.set()
        await listening


async def _watched(
    context: Context, plan: Plan, received: Received, receiver_port: int, stop: asyncio.Event
) -> Result | None:
    columns = (
        TextColumn("{task.description:>22}"),
        BarColumn(40),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        url = f"http://127.0.0.1:{receiver_port}/"
        work = asyncio.create_task(run_demo(context, plan, received, url, progress))
        return await ended(stop, work)


@asynccontextmanager
async def _opened(options: _Options, console: Console) -> AsyncIterator[dict[str, Context]]:
    if options.url and options.key:
        yield {system.DEMO: Context(options.url, options.key)}
        return
    with system.directory(options.data) as data:
        console.print(f"Starting Afterword on port {options.port}, data in {data}", soft_wrap=True)
        async with system.embedded(data, options.port) as contexts:
            yield contexts


def _report(console: Console, result: Result, file: Path | None) -> None:
    report.show(console, result)
    if file is not None:
        file.write_text(
            json.dumps(report.as_json(result), ensure_ascii=False, indent=2) + "\n",
            encoding="utf-8",
        )


async def _stay(
    console: Console, contexts: dict[str, Context], result: Result, stop: asyncio.Event
) -> None:
    path = write_context(contexts[WORKSPACE])
    report.invite(console, contexts[system.DEMO], contexts[WORKSPACE], path, result)
    await follow_links(contexts[WORKSPACE], stop)
