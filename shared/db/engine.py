"""Opens the database of one service, on PostgreSQL or SQLite, and names what went wrong with it."""

import ssl
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from shared.db import one_hop
from shared.errors import StartupError, TurnedAway, Unavailable
from shared.signals import Signal


def encode_json(value: Any) -> str:
    """JSON as it is stored; the encoder for engines and bulk statements alike."""
    return msgspec.json.encode(value).decode()


_ENGINE: dict[str, Any] = {
    "json_serializer": encode_json,
    "json_deserializer": msgspec.json.decode,
    "hide_parameters": True,
}
"""Of every engine; what an error says goes to logs and dead letters, so it does not repeat the values of rows."""

Tx = AsyncConnection
"""A connection inside a database transaction; what a store function takes second, after nothing but itself."""

_WAKE = "afterword.wake"
_RETRIABLE_SQLSTATE = ("08", "40", "53", "55P03", "57014", "57P", "58", "25006", "25P03")
"""Connection, rollback (deadlock, serialisation), resources, lock timeout, cancel, shutdown, I/O, fail-over."""
_TURNED_AWAY_SQLSTATE = ("28", "3D")
"""No such role, a wrong password, no such database: nothing that a record could be to blame for."""
_SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_RETRIABLE_SQLITE = ("locked", "disk", "full", "unable to open", "readonly")


@dataclass
class Database:
    """One service's database. `begin` writes, `read` only reads; neither may span a network call."""

    service: str
    dialect: str
    _writer: AsyncEngine
    _reader: AsyncEngine
    _signals: dict[str, Signal] = field(default_factory=lambda: defaultdict(Signal))
    gate: str | None = "the schema of the database has not been checked yet"
    """Why nothing may be read or written yet; None once the schema is known to fit this code."""

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[Tx]:
        """A write transaction, committed at the end. Raises `Unavailable` when its effect is unknown or it must
        be tried again; nothing of it is then to be relied on."""
        with_wake: set[str] = set()
        self._require_schema()
        async with _translated(), self._writer.begin() as tx:
            tx.info[_WAKE] = with_wake
            yield tx
        for name in with_wake:
            self._signals[name].notify()

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Tx]:
        """A connection for reading; each statement sees what is committed when it starts."""
        self._require_schema()
        async with _translated(), self._reader.connect() as connection:
            yield connection

    @asynccontextmanager
    async def migrating(self) -> AsyncIterator[Tx]:
        """A write transaction past the gate, for migrations and the schema check alone."""
        async with _translated(), self._writer.begin() as tx:
            yield tx

    def _require_schema(self) -> None:
        if self.gate is not None:
            raise Unavailable(f"database: {self.gate}")

    def signal(self, name: str) -> Signal:
        """What `wake` notifies after the commit, for the loops of this process."""
        return self._signals[name]


def wake(tx: Tx, name: str) -> None:
    """Notify the signal of that name once this transaction has committed."""
    tx.info[_WAKE].add(name)


async def now(tx: Tx) -> datetime:
    """The database's clock: the one that policy, delays, expiry and leases go by."""
    if tx.dialect.name == "sqlite":
        return datetime.now(UTC)
    value: datetime = (await tx.execute(sa.text("SELECT clock_timestamp()"))).scalar_one()
    return value


@asynccontextmanager
async def open_database(url: str, service: str) -> AsyncIterator[Database]:
    """Open `postgresql://...` (one schema per service) or `sqlite:///directory` (one file per service).

    Connects lazily: a database that is down shows at the first use, as `Unavailable`.
    Raises `StartupError` for a URL that can never work.
    """
    if url.startswith(("postgresql://", "postgres://")):
        database = _open_postgresql(url, service)
    elif url.startswith("sqlite:///"):
        database = _open_sqlite(Path(url.removeprefix("sqlite:///")), service)
    else:
        raise StartupError(
            f"AFTERWORD_DATABASE_URL must start with postgresql:// or sqlite:///, not {url.split(':', 1)[0]!r}:"
            " e.g. postgresql://afterword@localhost/afterword or sqlite:////var/lib/afterword"
        )
    try:
        yield database
    finally:
        await database._writer.dispose()
        if database._reader is not database._writer:
            await database._reader.dispose()


def _open_postgresql(url: str, service: str) -> Database:
    try:
        parsed = make_url(url).set(drivername="postgresql+asyncpg")
    except (ArgumentError, ValueError) as error:
        raise StartupError(
            "AFTERWORD_DATABASE_URL must read postgresql://user:password@host:port/database"
        ) from error
    query = dict(parsed.query)
    if unknown := query.keys() - {"sslmode", "sslrootcert"}:
        raise StartupError(
            f"AFTERWORD_DATABASE_URL: {min(unknown)!r} is not understood, only sslmode and sslrootcert are"
        )
    arguments: dict[str, Any] = {
        "timeout": 5,
        "command_timeout": 60,
        "server_settings": {
            "application_name": f"afterword-{service}",
            "search_path": service,
            "lock_timeout": "10s",
            "statement_timeout": "60s",
            "idle_in_transaction_session_timeout": "60s",
        },
    }
    if mode := query.pop("sslmode", None):
        arguments["ssl"] = _tls(str(mode), query.pop("sslrootcert", None))
    engine = create_async_engine(
        parsed.set(query=query),
        pool_size=8,
        max_overflow=4,
        pool_timeout=5,
        pool_pre_ping=True,
        connect_args=arguments,
        **_ENGINE,
    )
    reader = engine.execution_options(isolation_level="AUTOCOMMIT")
    return Database(service, "postgresql", engine, reader)


def _tls(mode: str, root: Any) -> ssl.SSLContext | str:
    if mode not in _SSL_MODES:
        raise StartupError(
            f"AFTERWORD_DATABASE_URL: sslmode must be one of {', '.join(_SSL_MODES)}, not {mode!r}"
        )
    if mode != "verify-full":
        return mode
    try:
        return ssl.create_default_context(cafile=root)
    except OSError as error:
        raise StartupError(
            f"AFTERWORD_DATABASE_URL: sslrootcert {root} cannot be used: {error.strerror}"
        ) from error


def _open_sqlite(directory: Path, service: str) -> Database:
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StartupError(
            f"the directory {directory} cannot be used for the database: {error.strerror}"
        ) from error
    url = f"sqlite+aiosqlite:///{directory / service}.db"
    shared: dict[str, Any] = {"module": one_hop.Module(), "max_overflow": 0, "pool_timeout": 30}
    writer = create_async_engine(url, pool_size=1, **shared, **_ENGINE)
    reader = create_async_engine(
        url,
        pool_size=8,
        isolation_level="AUTOCOMMIT",
        skip_autocommit_rollback=True,
        pool_reset_on_return=None,
        **shared,
        **_ENGINE,
    )
    _prepare_sqlite(writer, query_only=False)
    _prepare_sqlite(reader, query_only=True)

    @event.listens_for(writer.sync_engine, "begin")
    def on_begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return Database(service, "sqlite", writer, reader)


def _prepare_sqlite(engine: AsyncEngine, *, query_only: bool) -> None:
    @event.listens_for(engine.sync_engine, "connect")
    def on_connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "busy_timeout=10000",
            "foreign_keys=ON",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        if query_only:
            cursor.execute("PRAGMA query_only=ON")
        cursor.close()


@asynccontextmanager
async def _translated() -> AsyncIterator[None]:
    try:
        yield
    except DBAPIError as error:
        if str(getattr(error.orig, "sqlstate", None)).startswith(_TURNED_AWAY_SQLSTATE):
            raise TurnedAway(f"database: {_brief(error)}") from error
        if _retriable(error):
            raise Unavailable(f"database: {_brief(error)}") from error
        raise
    except (PoolTimeout, OSError) as error:
        raise Unavailable(f"database: {_brief(error)}") from error


def _retriable(error: DBAPIError) -> bool:
    if error.connection_invalidated:
        return True
    state = getattr(error.orig, "sqlstate", None)
    if state is not None:
        return str(state).startswith(_RETRIABLE_SQLSTATE)
    text = str(error.orig).lower()
    return isinstance(error.orig, OSError) or any(
        word in text for word in (*_RETRIABLE_SQLITE, "connection")
    )


def _brief(error: BaseException) -> str:
    return (str(getattr(error, "orig", None) or error) or type(error).__name__).splitlines()[0][
        :300
    ]
