"""Makes a table that stands a partitioned one, for migrations: no row is copied, and no index is built again."""

from typing import Any

import sqlalchemy as sa

from shared.db.days import bound
from shared.db.partitions import DAYS_AHEAD

_END = sa.text(f"SELECT (now() AT TIME ZONE 'UTC')::date + {DAYS_AHEAD + 1}")
_INDEXES = sa.text("""
SELECT i.relname AS name, x.indisprimary AS is_primary, pg_get_indexdef(i.oid) AS definition
FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid
WHERE x.indrelid = to_regclass(:table) ORDER BY i.relname
""")


def cut_into_ranges(connection: sa.Connection, table: str, column: str) -> None:
    """What there is, and the coming week, becomes the first range; what lies beyond it (a clock that is far off)
    moves to the default partition. Reads the whole table twice, with everybody kept out of it.

    An index that was unique is not so any longer, unless it is the primary key: none can be across partitions. On the
    first range the unique one goes on to serve, and the new one counts as incomplete, unless there was no row yet.
    """

    def run(sql: str) -> None:
        connection.exec_driver_sql(sql)

    before, beyond = f"{table}_before", f"{table}_beyond"
    end = connection.execute(_END).scalar_one()
    late = f"{column} >= '{bound(end)}'"
    run(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
    is_new = not connection.execute(sa.select(sa.exists().select_from(sa.table(table)))).scalar()
    indexes = connection.execute(_INDEXES, {"table": table}).all()
    run(f"ALTER TABLE {table} RENAME TO {before}")
    for index in indexes:
        run(f"ALTER INDEX {index.name} RENAME TO {index.name}_before")
    run(
        f"CREATE TABLE {table} (LIKE {before} INCLUDING ALL EXCLUDING INDEXES)"
        f" PARTITION BY RANGE ({column})"
    )
    run(f"CREATE TEMPORARY TABLE {beyond} AS SELECT * FROM {before} WHERE {late}")  # noqa: S608 - names of ours
    run(f"DELETE FROM {before} WHERE {late} AND EXISTS (SELECT FROM {beyond})")  # noqa: S608 - names of ours
    run(
        f"ALTER TABLE {table} ATTACH PARTITION {before}"
        f" FOR VALUES FROM (MINVALUE) TO ('{bound(end)}')"
    )
    for index in indexes:
        _take_over(connection, table, index, is_new=is_new)
    run(f"CREATE TABLE {table}_default PARTITION OF {table} DEFAULT")
    run(f"INSERT INTO {table} SELECT * FROM {beyond}")  # noqa: S608 - names of ours
    run(f"DROP TABLE {beyond}")


def _take_over(connection: sa.Connection, table: str, index: sa.Row[Any], *, is_new: bool) -> None:
    """Make an index of the partitioned table; the one that the first range has becomes a part of it."""
    name, made = index.name, index.definition
    if index.is_primary:
        columns = made[made.index("(") :]
        made = f"ALTER TABLE {table} ADD CONSTRAINT {name} PRIMARY KEY {columns}"
    elif made.startswith("CREATE UNIQUE"):
        made = made.replace("UNIQUE ", "", 1)
        if is_new:
            connection.exec_driver_sql(f"DROP INDEX {name}_before")
        else:
            made = made.replace(" ON ", " ON ONLY ", 1)
    connection.exec_driver_sql(made)
