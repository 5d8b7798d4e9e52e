"""PostgreSQL through asyncpg: SQLAlchemy keeps the pool and compiles; hot statements go to the driver directly.

A statement costs the driver 80 µs and SQLAlchemy's execution 150 to 300 µs more, which is most of what a small batch
costs (docs/decisions/0014).
"""

from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
from sqlalchemy import event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, DisconnectionError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from shared.db.encryption import encryption
from shared.errors import StartupError

_DRIVER = "afterword.driver"
_JSONB_VERSION = b"\x01"
_SETTINGS = {
    "lock_timeout": "10s",
    "idle_in_transaction_session_timeout": "60s",
}
CONNECTIONS = 12
"""What one service opens at most in one process; k8s/components/cnpg has room for all that may run."""

_KEPT = 8


class Row(asyncpg.Record):  # type: ignore[misc]  # untyped library
    """A row as the driver gives it, with the two ways of reading that SQLAlchemy's rows have."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    @property
    def _mapping(self) -> dict[str, Any]:
        return dict(self.items())


def open_engine(
    url: str, service: str, ca_file: Path | None, statement_seconds: int | None, **options: Any
) -> AsyncEngine:
    """A pool of connections that commit each statement, but for those that `transaction` takes; connects lazily.

    Raises `StartupError` for a URL that can never work.
    """
    try:
        parsed = make_url(url).set(drivername="postgresql+asyncpg")
    except (ArgumentError, ValueError) as error:
        raise StartupError(
            "AFTERWORD_DATABASE_URL must read postgresql://user:password@host:port/database"
        ) from error
    query = dict(parsed.query)
    mode = query.pop("sslmode", None)
    if query:
        raise StartupError(
            f"AFTERWORD_DATABASE_URL: {min(query)!r} is not understood, only sslmode is;"
            " AFTERWORD_DATABASE_CA_FILE names the authority that signs certificates"
        )
    own = {"application_name": f"afterword-{service}", "search_path": service}
    own["statement_timeout"] = f"{statement_seconds or 0}s"
    arguments: dict[str, Any] = {
        "timeout": 5,
        "command_timeout": statement_seconds,
        "server_settings": own | _SETTINGS,
        "record_class": Row,
    }
    if (tls := encryption(None if mode is None else str(mode), ca_file)) is not None:
        arguments["ssl"] = tls
    engine = create_async_engine(
        parsed.set(query=query),
        isolation_level="AUTOCOMMIT",
        skip_autocommit_rollback=True,
        pool_reset_on_return=None,
        pool_size=_KEPT,
        max_overflow=CONNECTIONS - _KEPT,
        pool_timeout=5,
        connect_args=arguments,
        **options | {"json_deserializer": _same},
    )
    event.listen(engine.sync_engine, "connect", _on_connect)
    event.listen(engine.sync_engine, "checkout", _on_checkout)
    return engine


@asynccontextmanager
async def transaction(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """A connection inside a transaction, committed at the end. Raises `RuntimeError` when the server made that a
    rollback, as it does without a word after a failed statement that was passed over.

    Only a connection whose transaction ended in order goes back to the pool. After anything else, a cancelled BEGIN
    for one, nobody knows what the next transaction on it would be a part of.
    """
    async with engine.connect() as connection:
        driver = connection.info[_DRIVER]
        in_order = False
        try:
            await driver.execute("BEGIN")
            try:
                yield connection
            except Exception:
                await driver.execute("ROLLBACK")
                in_order = True
                raise
            ended = await driver.execute("COMMIT")
            in_order = True
        finally:
            if not in_order:
                driver.terminate()
    if ended != "COMMIT":
        raise RuntimeError("a statement failed and was passed over: all was rolled back")


async def fetch(connection: AsyncConnection, sql: str, arguments: Sequence[Any]) -> list[Any]:
    """Run a statement past SQLAlchemy, prepared once for each connection; its errors are those of SQLAlchemy."""
    with _errors(sql):
        rows: list[Any] = await connection.info[_DRIVER].fetch(sql, *arguments)
    return rows


async def copy(
    connection: AsyncConnection, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]
) -> None:
    """Write rows by COPY: the driver looks at each value once, and the server fills a page at a time."""
    with _errors(f"COPY {table}"):
        await connection.info[_DRIVER].copy_records_to_table(table, columns=columns, records=rows)


@contextmanager
def _errors(statement: str) -> Iterator[None]:
    try:
        yield
    except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
        raise DBAPIError(statement, None, _Told(error), hide_parameters=True) from None


class _Told(Exception):
    """What the driver says without the values of rows, which it repeats in details and about its own arguments."""

    def __init__(self, error: Exception) -> None:
        text = str(error.args[0]) if error.args else type(error).__name__
        by_server = getattr(error, "severity", None) is not None
        is_value = isinstance(error, asyncpg.DataError) and not by_server
        super().__init__(text.partition(":")[0] if is_value else text)
        lost = isinstance(error, asyncpg.InternalClientError)
        self.sqlstate = "08" if lost else getattr(error, "sqlstate", None)


def _on_connect(connection: Any, record: Any) -> None:
    record.info[_DRIVER] = connection.driver_connection
    connection.run_async(speak_json)


async def speak_json(driver: Any) -> None:
    """Have the driver decode JSON, so that it comes the same past SQLAlchemy; COPY takes it in binary only."""
    for name, encoder, decoder in (
        ("json", str.encode, msgspec.json.decode),
        ("jsonb", _to_jsonb, _of_jsonb),
    ):
        await driver.set_type_codec(
            name, schema="pg_catalog", encoder=encoder, decoder=decoder, format="binary"
        )


def _to_jsonb(text: str) -> bytes:
    return _JSONB_VERSION + text.encode()


def _of_jsonb(sent: bytes) -> Any:
    return msgspec.json.decode(memoryview(sent)[len(_JSONB_VERSION) :])


def _on_checkout(_connection: Any, record: Any, _proxy: Any) -> None:
    """A connection that the server closed is seen without asking it: the driver was told."""
    if record.info[_DRIVER].is_closed():
        raise DisconnectionError


def _same(value: Any) -> Any:
    return value
