"""Records the statements of database transactions, and runs them again bare: asyncpg and nothing else."""

import time
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple
from unittest.mock import patch

import asyncpg
import sqlalchemy as sa

from bench.measuring import cpu_seconds
from shared.db import Database, Tx, postgresql


class Copied(NamedTuple):
    """Rows that were written by COPY."""

    table: str
    columns: Sequence[str]
    rows: list[Sequence[Any]]


Statement = tuple[str, tuple[Any, ...]]
Recorded = list[list[Statement | Copied]]
"""For each transaction its statements, with their arguments."""


@contextmanager
def recording(database: Database) -> Iterator[Recorded]:
    """Record what the database's transactions run, one by one, in the form in which asyncpg has it."""
    transactions: Recorded = []
    engine = database._reader.sync_engine
    begin, fetch, copy = database._transaction, postgresql.fetch, postgresql.copy

    @asynccontextmanager
    async def recorded() -> AsyncIterator[Tx]:
        transactions.append([])
        async with begin() as tx:
            yield tx

    async def past_sqlalchemy(tx: Tx, sql: str, arguments: Sequence[Any]) -> list[Any]:
        transactions[-1].append((sql, tuple(arguments)))
        return await fetch(tx, sql, arguments)

    async def by_copy(
        tx: Tx, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]
    ) -> None:
        copied = Copied(table, columns, list(rows))
        transactions[-1].append(copied)
        await copy(tx, *copied)

    def through_sqlalchemy(
        _connection: Any, _cursor: Any, sql: str, arguments: Any, _context: Any, _many: bool
    ) -> None:
        transactions[-1].append((sql, tuple(arguments)))

    sa.event.listen(engine, "before_cursor_execute", through_sqlalchemy)
    database._transaction = recorded
    try:
        with patch.multiple(postgresql, fetch=past_sqlalchemy, copy=by_copy):
            yield transactions
    finally:
        database._transaction = begin
        sa.event.remove(engine, "before_cursor_execute", through_sqlalchemy)


@dataclass(frozen=True)
class Bare:
    """What the transactions took: on the clock, and of the CPU in this process and in the database."""

    seconds: float
    cpu_seconds: float
    database_cpu_seconds: float


async def run_bare(url: str, schema: str, transactions: Recorded) -> Bare:
    """Run the transactions one after the other on one connection."""
    connection = await asyncpg.connect(url, server_settings={"search_path": schema})
    await postgresql.speak_json(connection)
    try:
        backend = connection.get_server_pid()
        before = cpu_seconds(backend)
        started, worked = time.perf_counter(), time.thread_time()
        for statements in transactions:
            async with connection.transaction():
                for statement in statements:
                    await _run(connection, statement)
        return Bare(
            time.perf_counter() - started,
            time.thread_time() - worked,
            cpu_seconds(backend) - before,
        )
    finally:
        await connection.close()


async def _run(connection: asyncpg.Connection, statement: Statement | Copied) -> None:
    if isinstance(statement, Copied):
        table, columns, rows = statement
        await connection.copy_records_to_table(table, columns=columns, records=rows)
        return
    sql, arguments = statement
    # `fetch` prepares once and runs prepared from then on: asyncpg keeps what it has prepared.
    await connection.fetch(sql, *arguments)
