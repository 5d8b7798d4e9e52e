"""What many tests need: an access file with two workspaces, settings on it, the statements that are run, and waiting with a deadline."""

import asyncio
import base64
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
from unittest.mock import patch

import sqlalchemy as sa
import yaml
from prometheus_client import REGISTRY

from shared.auth import mint_key
from shared.db import postgresql
from shared.http.serve import Service, Work

T = TypeVar("T")
TOKEN_KEYS = "test:" + base64.b64encode(b"k" * 32).decode()


def write_access(
    path: Path,
    workspaces: dict[str, dict[str, Any]] | None = None,
    limited: dict[str, dict[str, list[str]]] | None = None,
) -> dict[str, str]:
    """Write an access file (by default the workspaces acme and other) and return a full key for each workspace.

    `limited` makes more keys of acme, by name, each with its data scope.
    """
    wanted = workspaces or {"acme": {}, "other": {}}
    entries: dict[str, dict[str, Any]] = {name: {"workspace": name} for name in wanted}
    for name, data in (limited or {}).items():
        entries[name] = {"workspace": "acme", "data": data}
    keys = {name: mint_key(f"key-{name}") for name in entries}
    document = {
        "workspaces": [{"id": name} | fields for name, fields in wanted.items()],
        "keys": [
            {"id": f"key-{name}", "hash": keys[name][1], "scopes": ["*"]} | entry
            for name, entry in entries.items()
        ],
    }
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return {name: key for name, (key, _) in keys.items()}


def days_ago(days: float) -> datetime:
    """That long before now."""
    return datetime.now(UTC) - timedelta(days=days)


def id_of(at: datetime) -> str:
    """An id (uuid7) that is made at that time."""
    bits = int(at.timestamp() * 1_000) << 80 | uuid.uuid4().int & (1 << 80) - 1
    return str(uuid.UUID(int=bits & ~(0xF << 76) | 7 << 76))


async def eventually(
    look: Callable[[], Awaitable[T | None]],
    *,
    seconds: float = 15.0,
    every: float = 0.02,
    what: str = "it",
) -> T:
    """Look again and again until something is found; fail at the deadline."""
    deadline = time.monotonic() + seconds
    while True:
        found = await look()
        if found:
            return found
        assert time.monotonic() < deadline, f"{what} did not happen within {seconds} s"
        await asyncio.sleep(every)


@asynccontextmanager
async def working(*services: Service) -> AsyncIterator[None]:
    """Run the loops of services, as `serve` does, from when they are ready; what they raise fails the test."""
    stop = asyncio.Event()

    async def ready() -> bool:
        return not any(service.health.comparing for service in services)

    async def finish(work: Work) -> None:
        await work(stop)

    async with asyncio.TaskGroup() as group:
        for work in (work for service in services for work in service.work):
            group.create_task(finish(work))
        try:
            await eventually(ready, what="comparing the databases with the log")
            yield
        finally:
            stop.set()


class Told:
    """What instruments of this process have been told since; they are there for all tests together."""

    def __init__(self) -> None:
        self._before: dict[tuple[str, frozenset[tuple[str, str]]], float] = {
            self._key(s.name, s.labels): s.value for s in self._samples()
        }

    def __call__(self, series: str, **labels: str) -> float:
        """By how much a series has grown."""
        value: float | None = REGISTRY.get_sample_value(f"afterword_{series}", labels)
        assert value is not None, f"there is no {series} of {labels}"
        return value - self._before.get(self._key(f"afterword_{series}", labels), 0.0)

    @staticmethod
    def _samples() -> Iterator[Any]:
        return (sample for family in REGISTRY.collect() for sample in family.samples)

    @staticmethod
    def _key(name: str, labels: dict[str, str]) -> tuple[str, frozenset[tuple[str, str]]]:
        return name, frozenset(labels.items())


@contextmanager
def statements_seen() -> Iterator[list[str]]:
    """Collect the statements that this process runs meanwhile, through SQLAlchemy or past it."""
    seen: list[str] = []
    fetch, copy = postgresql.fetch, postgresql.copy

    def through(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        seen.append(statement)

    async def past(connection: Any, statement: str, arguments: Sequence[Any]) -> list[Any]:
        seen.append(statement)
        return await fetch(connection, statement, arguments)

    async def by_copy(connection: Any, table: str, columns: Sequence[str], rows: Any) -> None:
        seen.append(f"COPY {table} ({', '.join(columns)})")
        await copy(connection, table, columns, rows)

    sa.event.listen(sa.Engine, "before_cursor_execute", through)
    try:
        with patch.multiple(postgresql, fetch=past, copy=by_copy):
            yield seen
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", through)
