"""`serve SERVICE` and `migrate`: what runs in a deployment, told by the environment."""

import asyncio
import gc
from enum import StrEnum
from typing import Annotated

import typer
import uvloop
from pydantic import ValidationError
from rich.console import Console

from services.cli.compose import migrate_all, open_services, settings_of
from shared.errors import AfterwordError, StartupError, leaves
from shared.http.serve import LINGER_SECONDS, run
from shared.settings import Settings
from shared.telemetry import configure_logging, log

_console = Console()
_GARBAGE_THRESHOLDS = (100_000, 20, 20)


class ServiceName(StrEnum):
    """The services by name, as typer lists them."""

    INGEST = "ingest"
    TRIGGER = "trigger"
    SCORING = "scoring"
    ALERTING = "alerting"


def serve(
    service: Annotated[ServiceName, typer.Argument(help="Which service this process is.")],
) -> None:
    """Run one service until SIGTERM; settings come from AFTERWORD_* variables."""
    settings = settings_for(service.value)
    as_json = settings.log_format == "json"
    configure_logging(settings.log_level, json=as_json, service=service.value)
    try:
        uvloop.run(_serve(service.value, settings))
    except Exception as error:
        if not as_json:
            raise
        for why in leaves(error):
            unforeseen = None if isinstance(why, AfterwordError) else why
            log.error("ended", reason=str(why), exc_info=unforeseen)
        raise typer.Exit(1) from None  # it was said, on lines that a machine can read


async def _serve(name: str, settings: Settings) -> None:
    async with open_services([name], {name: settings}) as services:
        _collect_seldom()
        await run(
            services,
            services[0].app,
            host=settings.host,
            port=settings.port,
            metrics_port=settings.metrics_port,
            grace_seconds=settings.grace_seconds,
            stop=asyncio.Event(),
            trusted_proxies=settings.trusted_proxies,
            linger_seconds=LINGER_SECONDS,
        )


def _collect_seldom() -> None:
    """A batch makes and drops tens of thousands of objects, none of them garbage in a cycle: to look for cycles
    as often as Python does by default took a fifth of trigger's time. What is open by now stays open."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GARBAGE_THRESHOLDS)


def migrate(
    service: Annotated[
        list[ServiceName] | None, typer.Argument(help="Only these; all without it.")
    ] = None,
) -> None:
    """Bring the databases to this version's schema. Safe to run again, and by several at once."""
    names = [s.value for s in service or ServiceName]
    settings = settings_for(names[0])
    moving = migrate_all(names, settings.database_url, settings.database_ca_file)
    for name, (before, after) in asyncio.run(moving).items():
        moved = "unchanged" if before == after else f"from {before or 'nothing'}"
        _console.print(f"{name}: schema revision {after} ({moved})", highlight=False)


def settings_for(service: str) -> Settings:
    """What the environment says; `StartupError` names the variable that is wrong or missing."""
    try:
        return settings_of(service)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        if not first["loc"]:  # what is wrong with several of them names them itself
            raise StartupError(first["msg"].removeprefix("Value error, ")) from error
        name = "AFTERWORD_" + "_".join(str(part) for part in first["loc"]).upper()
        wanted = Settings.model_fields.get(str(first["loc"][-1]))
        hint = f" ({wanted.description})" if wanted and wanted.description else ""
        message = "is not set" if first["type"] == "missing" else first["msg"]
        raise StartupError(f"{name} {message}{hint}") from error
