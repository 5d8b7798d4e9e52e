"""The database of one service, on PostgreSQL or SQLite: transactions, reading, the gate of the schema, wake-ups."""

from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, cast

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.pool import QueuePool

from shared.db import postgresql, sqlite
from shared.db.failures import translated
from shared.errors import StartupError, Unavailable
from shared.signals import Signal
from shared.tracing.transactions import transaction


def encode_json(value: Any) -> str:
    """JSON as it is stored; the encoder for engines and bulk statements alike."""
    return msgspec.json.encode(value).decode()


_OPTIONS: dict[str, Any] = {
    "json_serializer": encode_json,
    "json_deserializer": msgspec.json.decode,
    "hide_parameters": True,
}
"""Of every engine; what an error says goes to logs and dead letters, so it does not repeat the values of rows."""

Tx = AsyncConnection
"""A connection inside a database transaction; what a store function takes second, after nothing but itself."""

_AFTER = "afterword.after"


class _After:
    """What a transaction has asked for, to be done once it is committed."""

    __slots__ = ("acts", "wake")

    def __init__(self) -> None:
        self.wake: set[str] = set()
        self.acts: list[Callable[[], object]] = []


class _Rehearsed(Exception):
    """Ends a transaction that was never meant to last."""


@dataclass
class Database:
    """One service's database. `begin` writes, `read` only reads; neither may span a network call."""

    service: str
    dialect: str
    _transaction: Callable[[], AbstractAsyncContextManager[Tx]]
    _reader: AsyncEngine
    _signals: dict[str, Signal] = field(default_factory=lambda: defaultdict(Signal))
    gate: str | None = "the schema of the database has not been checked yet"
    """Why nothing may be read or written yet; None once the database is known to fit this code and the log."""

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[Tx]:
        """A write transaction, committed at the end. Raises `Unavailable` when its effect is unknown or it must
        be tried again; nothing of it is then to be relied on."""
        after = _After()
        self._require_schema()
        with transaction(self.service, self.dialect):
            async with translated(), self._transaction() as tx:
                tx.info[_AFTER] = after
                yield tx
        for name in after.wake:
            self._signals[name].notify()
        for act in after.acts:
            act()

    @asynccontextmanager
    async def rehearse(self) -> AsyncIterator[Tx]:
        """A write transaction that is rolled back at its end: what it would do can be told, and nothing is done."""
        with suppress(_Rehearsed):
            async with self.begin() as tx:
                yield tx
                raise _Rehearsed

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Tx]:
        """A connection for reading; each statement sees what is committed when it starts."""
        self._require_schema()
        async with translated(), self._reader.connect() as connection:
            yield connection

    @asynccontextmanager
    async def migrating(self) -> AsyncIterator[Tx]:
        """A write transaction past the gate, for migrations and the schema check alone."""
        async with translated(), self._transaction() as tx:
            yield tx

    def past_gate(self) -> "Database":
        """The same database for who has to work before the gate is opened."""
        return replace(self, gate=None)

    def _require_schema(self) -> None:
        if self.gate is not None:
            raise Unavailable(f"database: {self.gate}")

    def connections(self) -> tuple[int, int]:
        """How many connections of the pool are in use, and how many there may be."""
        pool = cast("QueuePool", self._reader.sync_engine.pool)
        return pool.checkedout(), pool.size() + max(0, pool._max_overflow)

    def signal(self, name: str) -> Signal:
        """What `wake` notifies after the commit, for the loops of this process."""
        return self._signals[name]


def wake(tx: Tx, name: str) -> None:
    """Notify the signal of that name once this transaction has committed."""
    tx.info[_AFTER].wake.add(name)


def after_commit(tx: Tx, act: Callable[[], object]) -> None:
    """Do it once this transaction has committed, and never if it does not: how what is stored is counted."""
    tx.info[_AFTER].acts.append(act)


async def now(tx: Tx) -> datetime:
    """The database's clock: the one that policy, delays, expiry and leases go by."""
    if tx.dialect.name == "sqlite":
        return datetime.now(UTC)
    ((value,),) = await postgresql.fetch(tx, "SELECT clock_timestamp()", ())
    at: datetime = value
    return at


@asynccontextmanager
async def open_database(
    url: str, service: str, ca_file: Path | None = None, *, statement_seconds: int | None = 60
) -> AsyncIterator[Database]:
    """Open `postgresql://...` (one schema per service) or `sqlite:///directory` (one file per service). A server's
    certificate must be signed by an authority in `ca_file`. A statement of a server ends after `statement_seconds`.

    Connects lazily: a database that is down shows at the first use, as `Unavailable`.
    Raises `StartupError` for a URL that can never work.
    """
    if url.startswith(("postgresql://", "postgres://")):
        engine = postgresql.open_engine(url, service, ca_file, statement_seconds, **_OPTIONS)
        engines = {engine}
        begin = partial(postgresql.transaction, engine)
        database = Database(service, "postgresql", begin, engine)
    elif url.startswith("sqlite:///"):
        directory = Path(url.removeprefix("sqlite:///"))
        writer, reader = sqlite.open_engines(directory, service, **_OPTIONS)
        engines = {writer, reader}
        database = Database(service, "sqlite", partial(sqlite.transaction, writer), reader)
    else:
        raise StartupError(
            f"AFTERWORD_DATABASE_URL must start with postgresql:// or sqlite:///, not {url.split(':', 1)[0]!r}:"
            " e.g. postgresql://afterword@localhost/afterword or sqlite:////var/lib/afterword"
        )
    try:
        yield database
    finally:
        for engine in engines:
            await engine.dispose()
