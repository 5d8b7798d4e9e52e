"""SQLite through aiosqlite with one trip to its thread per statement, where SQLAlchemy's own cursor makes four."""

import sqlite3
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

import aiosqlite
from sqlalchemy.dialects.sqlite.aiosqlite import (
    AsyncAdapt_aiosqlite_connection,
    AsyncAdapt_aiosqlite_dbapi,
)
from sqlalchemy.util.concurrency import await_only

_Answer = tuple[Any, int, int | None, Sequence[Any]]


class _Cursor:
    """The part of a DBAPI cursor that SQLAlchemy asks for; all rows are read when the statement is run."""

    server_side = False

    def __init__(self, connection: AsyncAdapt_aiosqlite_connection) -> None:
        self._connection = connection
        self._rows: deque[Any] = deque()
        self.description: Any = None
        self.rowcount = -1
        self.lastrowid: int | None = None
        self.arraysize = 1

    def execute(self, operation: str, parameters: Any = None) -> "_Cursor":
        if parameters is None:
            self._run("execute", operation)
        else:
            self._run("execute", operation, parameters)
        return self

    def executemany(self, operation: str, parameters: Any) -> None:
        self._run("executemany", operation, parameters)

    def _run(self, method: str, *arguments: Any) -> None:
        driver: Any = self._connection.driver_connection

        def all_at_once() -> _Answer:
            cursor: sqlite3.Cursor = driver._conn.cursor()
            try:
                getattr(cursor, method)(*arguments)
                rows = cursor.fetchall() if cursor.description else ()
                return cursor.description, cursor.rowcount, cursor.lastrowid, rows
            finally:
                cursor.close()

        try:
            answer: _Answer = await_only(driver._execute(all_at_once))
        except Exception as error:  # noqa: BLE001 - the adapter raises it again, as the dialect knows it
            self._connection._handle_exception(error)
        self.description, self.rowcount, self.lastrowid, rows = answer
        self._rows = deque(rows)

    def fetchone(self) -> Any:
        return self._rows.popleft() if self._rows else None

    def fetchmany(self, size: int | None = None) -> list[Any]:
        count = min(self.arraysize if size is None else size, len(self._rows))
        return [self._rows.popleft() for _ in range(count)]

    def fetchall(self) -> list[Any]:
        rows = list(self._rows)
        self._rows.clear()
        return rows

    def __iter__(self) -> Iterator[Any]:
        while self._rows:
            yield self._rows.popleft()

    def setinputsizes(self, *sizes: Any) -> None:
        """SQLite has no use for it."""

    def close(self) -> None:
        self._rows.clear()

    async def _async_soft_close(self) -> None:
        """SQLAlchemy asks for it after each result; the real cursor is closed already."""


class _Connection(AsyncAdapt_aiosqlite_connection):
    __slots__ = ()
    _cursor_cls = _Cursor  # type: ignore[assignment]  # it stands in by its shape, without the parent's trips


class Module(AsyncAdapt_aiosqlite_dbapi):
    """Give it to `create_async_engine` as `module`; connections and errors are those of aiosqlite."""

    def __init__(self) -> None:
        super().__init__(aiosqlite, sqlite3)

    def connect(self, *arguments: Any, **named: Any) -> _Connection:
        made = super().connect(*arguments, **named)
        return _Connection(self, made.driver_connection)
