"""Lays out the ranges of tables as if they had been made day by day for some time."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

import sqlalchemy as sa

from shared.db import Database, Tx
from shared.db.days import bound
from shared.db.partitions import DAYS_AHEAD, list_ranges, make_ranges
from tests.support import days_ago


async def cut_anew(database: Database, tables: Sequence[sa.Table], since: int) -> None:
    """Instead of the ranges that these empty tables have: one for each day since so many days ago, and none before.
    Does nothing on SQLite."""
    if database.dialect != "postgresql":
        return
    first = days_ago(since)
    async with database.begin() as tx:
        for table in tables:
            for one in await list_ranges(tx, table):
                await tx.execute(sa.text(f"DROP TABLE {one.name}"))
            await _attach(tx, table, first.date())
    for week in range(since // DAYS_AHEAD + 1):
        async with database.begin() as tx:
            await make_ranges(tx, tables, first + timedelta(days=week * DAYS_AHEAD), 1)
    async with database.begin() as tx:
        await make_ranges(tx, tables, datetime.now(UTC), 1)


async def _attach(tx: Tx, table: sa.Table, day: date) -> None:
    name, end = f"{table.name}_{day:%Y%m%d}", bound(day + timedelta(days=1))
    await tx.execute(
        sa.text(
            f"CREATE TABLE {name} PARTITION OF {table.name} FOR VALUES FROM ('{bound(day)}') TO ('{end}')"
        )
    )
