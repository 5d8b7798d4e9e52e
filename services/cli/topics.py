"""`topics`: make them, compare them, and have a service read them again from a moment on."""

import asyncio
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, NamedTuple

import typer
from rich.console import Console

from services.cli.compose import create_topics
from services.cli.serve import ServiceName, settings_for
from shared.auth import Access
from shared.contracts.topics import topic_specs, topics_read
from shared.log import Lag, TopicPartition
from shared.log.opening import open_log
from shared.settings import Settings

topics = typer.Typer(help="Work on the topics in the log.", no_args_is_help=True)
_console = Console(highlight=False, markup=False, soft_wrap=True)


class Move(NamedTuple):
    """Where a group goes on in a partition, and where it would have."""

    at: TopicPartition
    before: int
    after: int


@topics.command("create")
def create() -> None:
    """Create the topics that are missing, inlets included; change nothing that exists."""
    created = asyncio.run(create_topics(settings_for("ingest")))
    _console.print(f"created {len(created)} topics" + "".join(f"\n  {name}" for name in created))


@topics.command("verify")
def verify() -> None:
    """Compare the topics with what this version needs; exit 1 when something differs."""
    differences = asyncio.run(_verify(settings_for("ingest")))
    for difference in differences:
        _console.print(difference)
    if differences:
        raise typer.Exit(1)
    _console.print("all topics are as they should be")


async def _verify(settings: Settings) -> list[str]:
    access = Access.load(settings.access_file)
    async with open_log(settings.log_url, settings.log_login()) as log:
        return await log.verify_topics(topic_specs(access.inlets()))


@topics.command("rewind")
def rewind(
    service: Annotated[ServiceName, typer.Argument(help="Which service reads again.")],
    to: Annotated[str, typer.Option(help="The moment, such as 2026-11-24T09:30:00+08:00.")],
    topic: Annotated[
        list[str] | None, typer.Option(help="Only this topic; all that it reads without it.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without it, only look.")] = False,
) -> None:
    """Have a service, stopped before, read again what was appended since a moment.

    What its database holds already stays as it is. It is never moved forward.
    """
    name, moment = service.value, moment_of(to)
    found = asyncio.run(_rewind(name, settings_for(name), topic or [], moment, yes))
    for each in found:
        _console.print(f"{each.at.topic}[{each.at.partition}] {each.before} -> {each.after}")
    _console.print(told(name, moment, found, done=yes))


async def _rewind(
    service: str, settings: Settings, wanted: list[str], moment: datetime, yes: bool
) -> list[Move]:
    read = topics_read(service, Access.load(settings.access_file).inlets())
    if strange := set(wanted).difference(read):
        raise typer.BadParameter(
            f"{service} reads {', '.join(sorted(read))}, not {', '.join(sorted(strange))}"
        )
    names = wanted or sorted(read)
    async with open_log(settings.log_url, settings.log_login()) as log:
        lags = await log.lag(service, names)
        found = moves(lags, await log.first_since(names, moment))
        if yes and found:
            await log.move(service, {each.at: each.after for each in found})
    return found


def moves(lags: Mapping[TopicPartition, Lag], firsts: Mapping[TopicPartition, int]) -> list[Move]:
    """Back, never forward; where nothing was committed the group begins at the start anyway."""
    return [
        Move(at, lag.committed, firsts[at])
        for at, lag in sorted(lags.items())
        if lag.committed is not None and firsts[at] < lag.committed
    ]


def told(service: str, moment: datetime, moves: list[Move], *, done: bool) -> str:
    """The last line: how much is handled again, at most, for compaction leaves gaps."""
    records = sum(each.before - each.after for each in moves)
    since = moment.isoformat()
    if not moves:
        return f"{service} has handled nothing that was appended since {since}"
    if done:
        return f"{service} handles up to {records:,} records since {since} again when it runs"
    return f"{service} would handle up to {records:,} records since {since} again; stop it and say --yes"


def moment_of(text: str) -> datetime:
    """RFC 3339, zone included: an operator's clock and a pod's may be in different ones."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(
            f"--to {text[:60]}: give a moment such as 2026-11-24T09:30:00+08:00"
        ) from None
    if moment.tzinfo is None:
        raise typer.BadParameter(
            f"--to {text[:60]}: say the zone too, such as {text[:60]}+08:00 or {text[:60]}Z"
        )
    return moment
