"""Statements of SQLAlchemy that are compiled once and run many times: building one costs more than running it."""

import json
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, asyncpg
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.elements import ColumnElement

from shared.db import postgresql
from shared.db.engine import Tx
from shared.db.types import UtcDateTime

POSTGRESQL: sa.Dialect = asyncpg.dialect()  # type: ignore[no-untyped-call]  # untyped in SQLAlchemy


class _Texts(sa.types.TypeDecorator[Sequence[str]]):
    """Any number of texts in one parameter."""

    impl = sa.Text
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        return dialect.type_descriptor(ARRAY(sa.Text()) if _is_postgresql(dialect) else sa.Text())

    def process_bind_param(self, value: Any, dialect: sa.Dialect) -> Any:
        return list(value) if _is_postgresql(dialect) else json.dumps(list(value))


class among(ColumnElement[bool]):  # noqa: N801 - an SQL expression, named as one
    """`among(column, "name")`: whether the column is one of the texts bound as `name`, however many there are."""

    type = sa.Boolean()
    inherit_cache = True

    def __init__(self, column: sa.ColumnElement[Any], name: str) -> None:
        self.column = column
        self.texts = sa.bindparam(name, type_=_Texts)


@compiles(among, "postgresql")
def _among_postgresql(element: among, compiler: Any, **kw: Any) -> str:
    return (
        f"{compiler.process(element.column, **kw)} = ANY ({compiler.process(element.texts, **kw)})"
    )


@compiles(among, "sqlite")
def _among_sqlite(element: among, compiler: Any, **kw: Any) -> str:
    texts = compiler.process(element.texts, **kw)
    column = compiler.process(element.column, **kw)
    return f"{column} IN (SELECT value FROM json_each({texts}))"  # noqa: S608 - compiled clauses


class moment(ColumnElement[Any]):  # noqa: N801 - an SQL expression, named as one
    """`moment("at")`: the time of the statement by PostgreSQL's clock; on SQLite, which has none that is as exact, the
    time bound as `at`."""

    type = UtcDateTime()
    inherit_cache = True

    def __init__(self, name: str) -> None:
        self.bound = sa.bindparam(name, type_=UtcDateTime)


@compiles(moment, "postgresql")
def _moment_postgresql(element: moment, compiler: Any, **kw: Any) -> str:
    return "statement_timestamp()"


@compiles(moment, "sqlite")
def _moment_sqlite(element: moment, compiler: Any, **kw: Any) -> str:
    text: str = compiler.process(element.bound, **kw)
    return text


class Prepared:
    """A statement with named parameters. On PostgreSQL it goes past SQLAlchemy, so a parameter there must be of a
    type that the driver takes as it is: text, number, aware datetime, list of these."""

    def __init__(self, statement: sa.Executable) -> None:
        self._statement = statement

    async def rows(self, tx: Tx, **values: Any) -> list[Any]:
        """Run it and return all of its rows."""
        if tx.dialect.name != "postgresql":
            return list((await tx.execute(self._statement, values)).all())
        sql, names, fixed = self._compiled
        values = fixed | values
        return await postgresql.fetch(tx, sql, [values[name] for name in names])

    @cached_property
    def _compiled(self) -> tuple[str, list[str], dict[str, Any]]:
        compiled: Any = self._statement.compile(dialect=POSTGRESQL)  # type: ignore[attr-defined]  # all of ours can be
        return str(compiled), compiled.positiontup or [], dict(compiled.params)


def _is_postgresql(dialect: sa.Dialect) -> bool:
    return dialect.name == "postgresql"
