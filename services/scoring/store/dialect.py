"""The few expressions that PostgreSQL and SQLite spell differently: weeks, months, the head of a path."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import GenericFunction


class week_of(GenericFunction[Any]):  # noqa: N801 - an SQL function, named as one
    """The Monday of the day's ISO week."""

    type = sa.Date()
    inherit_cache = True


class month_of(GenericFunction[Any]):  # noqa: N801 - an SQL function, named as one
    """The first day of the day's month."""

    type = sa.Date()
    inherit_cache = True


class head_of(GenericFunction[Any]):  # noqa: N801 - an SQL function, named as one
    """`head_of(path, n)`: the first n segments of a path."""

    type = sa.Text()
    inherit_cache = True


@compiles(week_of, "postgresql")
def _week_postgresql(element: Any, compiler: Any, **kw: Any) -> str:
    return f"CAST(date_trunc('week', {compiler.process(element.clauses, **kw)}) AS DATE)"


@compiles(week_of, "sqlite")
def _week_sqlite(element: Any, compiler: Any, **kw: Any) -> str:
    return f"date({compiler.process(element.clauses, **kw)}, '-6 days', 'weekday 1')"


@compiles(month_of, "postgresql")
def _month_postgresql(element: Any, compiler: Any, **kw: Any) -> str:
    return f"CAST(date_trunc('month', {compiler.process(element.clauses, **kw)}) AS DATE)"


@compiles(month_of, "sqlite")
def _month_sqlite(element: Any, compiler: Any, **kw: Any) -> str:
    return f"date({compiler.process(element.clauses, **kw)}, 'start of month')"


@compiles(head_of, "postgresql")
def _head_postgresql(element: Any, compiler: Any, **kw: Any) -> str:
    path, levels = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"array_to_string((string_to_array({path}, '/'))[1:{levels}], '/')"


@compiles(head_of, "sqlite")
def _head_sqlite(element: Any, compiler: Any, **kw: Any) -> str:
    path, levels = (compiler.process(clause, **kw) for clause in element.clauses)
    # A quoted JSON string with its slashes turned into `","` is a JSON list of the segments.
    segments = f"json_each('[' || replace(json_quote({path}), '/', '\",\"') || ']')"
    head = f"SELECT value FROM {segments} WHERE key < {levels} ORDER BY key"  # noqa: S608 - compiled clauses
    return f"(SELECT group_concat(value, '/') FROM ({head}))"  # noqa: S608 - the same
