"""Whole batches in one statement: insert, upsert, update, load, delete and lock by key; both dialects in one place.

PostgreSQL takes a batch as one array per column (`unnest`), so that a statement's text, and with it its plan,
does not depend on the size of the batch; SQLite takes chunks of VALUES.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from shared.db import postgresql
from shared.db.days import is_within, within
from shared.db.engine import Tx, encode_json
from shared.db.keys import key_rows, key_values
from shared.db.prepared import POSTGRESQL, Prepared
from shared.db.types import UtcDateTime

_SQLITE_VARIABLES = 30_000
_MANY = 200
"""From how many rows on a column that is the same in all of them is sent once. Each choice of such columns is a statement
of its own, to be prepared, which fewer rows would not pay for."""
_DIALECTS: dict[str, sa.Dialect] = {
    "postgresql": POSTGRESQL,
    "sqlite": sqlite.dialect(),
}


@dataclass(frozen=True)
class Upsert:
    """What to do with a row whose `key` exists: replace or add to columns, and only if it is newer."""

    key: tuple[str, ...]
    replace: tuple[str, ...] = ()
    add: tuple[str, ...] = ()
    newer: str | None = None


async def insert(
    tx: Tx,
    table: sa.Table,
    rows: Sequence[Mapping[str, Any]],
    *,
    upsert: Upsert | None = None,
    returning: tuple[str, ...] = (),
) -> list[Any]:
    """Insert the rows, all with the same columns, ignoring those that exist (or as `upsert` says).

    Returns the `returning` columns (plain text and numbers only) of the rows that were really written: a claim.
    Give the rows in key order, so that overlapping batches in two workers wait for each other and do not deadlock.
    """
    if not rows:
        return []
    columns = tuple(rows[0])
    arrays = tuple(_column(table.c[name], tx.dialect.name, rows) for name in columns)
    if tx.dialect.name == "postgresql":
        alike = _alike(columns, arrays)
        sql = _postgresql_insert(table, columns, alike, upsert, returning)
        given = (
            array[0] if name in alike else array
            for name, array in zip(columns, arrays, strict=True)
        )
        return await postgresql.fetch(tx, sql, list(given))
    values = list(zip(*arrays, strict=True))
    written: list[Any] = []
    step = max(1, _SQLITE_VARIABLES // len(columns))
    for start in range(0, len(values), step):
        chunk = values[start : start + step]
        sql = _sqlite_insert(table, columns, len(chunk), upsert, returning)
        result = await tx.exec_driver_sql(sql, tuple(value for row in chunk for value in row))
        written += result.all() if returning else []
    return written


async def append(tx: Tx, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows whose keys are new and so cannot exist, all with the same columns, for three quarters of the price
    of `insert`; in the order given."""
    if tx.dialect.name != "postgresql":
        await insert(tx, table, rows)
    elif rows:
        columns = tuple(rows[0])
        arrays = (_column(table.c[name], "postgresql", rows) for name in columns)
        await postgresql.copy(tx, table.name, columns, zip(*arrays, strict=True))


async def load(
    tx: Tx,
    columns: Sequence[sa.ColumnElement[Any]] | sa.Table,
    by: Sequence[sa.Column[Any]],
    keys: Sequence[tuple[Any, ...]],
    *,
    lock: bool = False,
) -> list[Any]:
    """The rows whose `by` columns equal one of the keys; with `lock`, locked for update in key order.

    A lock has no effect on SQLite, whose write transactions exclude each other anyway.
    """
    if not keys:
        return []
    wanted = columns.c if isinstance(columns, sa.Table) else columns
    if tx.dialect.name == "postgresql":
        bounds = within(by, keys)
        sql = _by_arrays(tuple(wanted), tuple(by), lock, bool(bounds))
        return await postgresql.fetch(tx, sql, [*zip(*keys, strict=True), *bounds.values()])
    statement = _by_json(tuple(wanted), tuple(by))
    return list((await tx.execute(statement, key_values("sqlite", keys))).all())


async def update(
    tx: Tx,
    statement: sa.Update,
    by: Sequence[sa.Column[Any]],
    keys: Sequence[tuple[Any, ...]],
    **values: Any,
) -> list[Any]:
    """Run a statement, made once, on the rows whose `by` columns equal one of the keys; what it returns.

    Give the keys in order. PostgreSQL changes the rows in that order when it looks each of them up, which it is free
    not to do; to lock them in order first would cost it a tenth more, and a deadlock is but tried again.
    """
    if not keys:
        return []
    dialect = tx.dialect.name
    bounds = within(by, keys) if dialect == "postgresql" else {}
    prepared = _update(dialect, statement, tuple(by), bool(bounds))
    return await prepared.rows(tx, **key_values(dialect, keys), **values, **bounds)


async def lock(
    tx: Tx,
    table: sa.Table,
    keys: Sequence[tuple[Any, ...]],
    columns: Sequence[sa.ColumnElement[Any]] = (),
) -> list[Any]:
    """Make sure a row stands for each primary key, then lock them in key order until the transaction ends.

    Returns these columns of the rows that stood already. The first contact with something locks too, because its
    row is inserted here.
    """
    by = list(table.primary_key.columns)
    names = tuple(column.name for column in by)
    ordered = sorted(set(keys))
    rows = [dict(zip(names, key, strict=True)) for key in ordered]
    first = {tuple(row) for row in await insert(tx, table, rows, returning=names)}
    return await load(
        tx, columns or by, by, [key for key in ordered if key not in first], lock=True
    )


async def delete(
    tx: Tx, table: sa.Table, by: Sequence[sa.Column[Any]], keys: Sequence[tuple[Any, ...]]
) -> None:
    """Delete the rows whose `by` columns equal one of the keys."""
    if not keys:
        return
    if tx.dialect.name == "postgresql":
        sql = _delete_by_arrays(table, tuple(by))
        await postgresql.fetch(tx, sql, list(zip(*keys, strict=True)))
        return
    wanted = sa.tuple_(*by).in_(sa.select(*key_rows("sqlite", by).c))
    await tx.execute(sa.delete(table).where(wanted), key_values("sqlite", keys))


def _column(column: sa.Column[Any], dialect: str, rows: Sequence[Mapping[str, Any]]) -> list[Any]:
    name = column.name
    process = _processor(column, dialect)
    if process is _same:
        return [row[name] for row in rows]
    return [process(row[name]) for row in rows]


@lru_cache(maxsize=2_048)
def _processor(column: sa.Column[Any], dialect: str) -> Callable[[Any], Any]:
    if isinstance(column.type, sa.JSON):
        return _json
    if isinstance(column.type, UtcDateTime) and dialect == "postgresql":
        return _same  # what the type itself would do, value by value
    return column.type.dialect_impl(_DIALECTS[dialect]).bind_processor(_DIALECTS[dialect]) or _same


def _alike(columns: Sequence[str], arrays: Sequence[list[Any]]) -> frozenset[str]:
    """The columns that have one value in all of many rows, but for one: of its elements the rows are made."""
    if len(arrays[0]) < _MANY:
        return frozenset()
    alike = [
        name
        for name, array in zip(columns, arrays, strict=True)
        if array[0] == array[-1] and array.count(array[0]) == len(array)
    ]
    return frozenset(alike if len(alike) < len(columns) else alike[1:])


def _json(value: Any) -> str | None:
    return None if value is None else encode_json(value)


def _same(value: Any) -> Any:
    return value


@lru_cache(maxsize=512)
def _by_arrays(
    wanted: tuple[sa.ColumnElement[Any], ...],
    by: tuple[sa.Column[Any], ...],
    lock: bool,
    bounded: bool,
) -> str:
    """PostgreSQL's statement of `load`; building it costs more than running it, so it is built once."""
    sought, matches = _sought(by)
    if bounded:
        matches = sa.and_(matches, is_within(by))
    statement = sa.select(*wanted).join(sought, matches)
    if lock:
        statement = statement.order_by(*by).with_for_update(of=by[0].table)
    return str(statement.compile(dialect=POSTGRESQL))


@lru_cache(maxsize=64)
def _update(
    dialect: str, statement: sa.Update, by: tuple[sa.Column[Any], ...], bounded: bool
) -> Prepared:
    if dialect == "postgresql":
        _, wanted = _sought(by)
        return Prepared(
            statement.where(wanted, is_within(by)) if bounded else statement.where(wanted)
        )
    return Prepared(statement.where(sa.tuple_(*by).in_(sa.select(*key_rows(dialect, by).c))))


@lru_cache(maxsize=64)
def _delete_by_arrays(table: sa.Table, by: tuple[sa.Column[Any], ...]) -> str:
    _, matches = _sought(by)
    return str(sa.delete(table).where(matches).compile(dialect=POSTGRESQL))


def _sought(by: tuple[sa.Column[Any], ...]) -> tuple[sa.FromClause, sa.ColumnElement[bool]]:
    """The keys as a table, and what makes a row one of them."""
    sought = key_rows("postgresql", by)
    return sought, sa.and_(*(column == key for column, key in zip(by, sought.c, strict=True)))


@lru_cache(maxsize=512)
def _by_json(
    wanted: tuple[sa.ColumnElement[Any], ...], by: tuple[sa.Column[Any], ...]
) -> sa.Select[Any]:
    """SQLite's statement of `load`. It scans the whole table for a row in several VALUES, and takes the index for
    a row in a subquery."""
    return sa.select(*wanted).where(sa.tuple_(*by).in_(sa.select(*key_rows("sqlite", by).c)))


def _conflict(table: sa.Table, upsert: Upsert | None, returning: tuple[str, ...]) -> str:
    if upsert is None:
        text = "ON CONFLICT DO NOTHING"
    else:
        sets = [f"{name} = excluded.{name}" for name in upsert.replace]
        sets += [f"{name} = {table.name}.{name} + excluded.{name}" for name in upsert.add]
        text = f"ON CONFLICT ({', '.join(upsert.key)}) DO UPDATE SET {', '.join(sets)}"
        if upsert.newer:
            text += f" WHERE excluded.{upsert.newer} > {table.name}.{upsert.newer}"
    return text + (f" RETURNING {', '.join(returning)}" if returning else "")


@lru_cache(maxsize=256)
def _postgresql_insert(
    table: sa.Table,
    columns: tuple[str, ...],
    alike: frozenset[str],
    upsert: Upsert | None,
    returning: tuple[str, ...],
) -> str:
    picked: list[str] = []
    arrays: dict[str, str] = {}
    for number, name in enumerate(columns, 1):
        kind = table.c[name].type.compile(_DIALECTS["postgresql"])
        is_json = kind in ("JSONB", "JSON")
        sent = "TEXT" if is_json else kind
        if name not in alike:
            arrays[name] = f"${number}::{sent}[]"
        value = f"${number}::{sent}" if name in alike else name
        picked.append(f"{value}::jsonb" if is_json else value)
    return (
        f"INSERT INTO {table.name} ({', '.join(columns)}) SELECT {', '.join(picked)}"
        f" FROM unnest({', '.join(arrays.values())}) AS batch({', '.join(arrays)})"
        f" {_conflict(table, upsert, returning)}"
    )


@lru_cache(maxsize=256)
def _sqlite_insert(
    table: sa.Table,
    columns: tuple[str, ...],
    rows: int,
    upsert: Upsert | None,
    returning: tuple[str, ...],
) -> str:
    row = f"({', '.join('?' * len(columns))})"
    return (
        f"INSERT INTO {table.name} ({', '.join(columns)}) VALUES {', '.join([row] * rows)}"
        f" {_conflict(table, upsert, returning)}"
    )
