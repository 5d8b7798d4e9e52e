"""Rows by the time in their ids, or in another column that an index has next to the workspace, workspace by workspace:
no index is on time alone."""

from collections.abc import Sequence
from datetime import date, datetime
from functools import lru_cache
from typing import Any

import sqlalchemy as sa

from shared.db.days import day_of, span
from shared.db.engine import Tx

Bound = str | datetime
"""Of an id, or of a time."""


async def older_rows(
    tx: Tx,
    columns: Sequence[sa.Column[Any]],
    key: sa.Column[Any],
    before: Bound,
    where: sa.ColumnElement[bool],
    *,
    limit: int,
) -> list[Any]:
    """Up to so many rows whose key stands before the bound, locked; what another worker holds is left out."""
    found: list[Any] = []
    for workspace in await _workspaces(tx, key.table):
        old = sa.select(*columns).where(*_old(key, workspace, before), where).order_by(key)
        some = old.limit(limit - len(found)).with_for_update(skip_locked=True)
        found += (await tx.execute(some)).all()
        if len(found) == limit:
            break
    return found


async def count_older(
    tx: Tx, key: sa.Column[Any], before: Bound, where: sa.ColumnElement[bool], *, most: int
) -> int:
    """How many rows stand before the bound; it stops counting at `most`."""
    count = 0
    for workspace in await _workspaces(tx, key.table):
        some = sa.select(key).where(*_old(key, workspace, before), where).limit(most - count)
        count += int(
            (await tx.execute(sa.select(sa.func.count()).select_from(some.subquery()))).scalar_one()
        )
        if count == most:
            break
    return count


async def has_rows(
    tx: Tx, key: sa.Column[Any], first: str, end: str, where: sa.ColumnElement[bool]
) -> bool:
    """Whether a row stands in [first, end)."""
    for workspace in await _workspaces(tx, key.table):
        one = sa.select(key).where(*_old(key, workspace, end), key >= first, where).limit(1)
        if (await tx.execute(one)).first() is not None:
            return True
    return False


async def oldest_day(
    tx: Tx, key: sa.Column[Any], where: sa.ColumnElement[bool] | None = None
) -> date | None:
    """The day of the oldest of these rows, by its id; None when there is none, or its id does not say."""
    oldest = await _oldest(tx, key, where)
    return day_of(oldest) if oldest is not None and span((oldest,)) else None


async def oldest_moment(
    tx: Tx, key: sa.Column[Any], where: sa.ColumnElement[bool]
) -> datetime | None:
    """The time of the oldest of these rows, None when there is none."""
    oldest: datetime | None = await _oldest(tx, key, where)
    return oldest


async def _oldest(tx: Tx, key: sa.Column[Any], where: sa.ColumnElement[bool] | None) -> Any:
    oldest = []
    for workspace in await _workspaces(tx, key.table):
        mine = sa.select(key).where(key.table.c.workspace == workspace)
        mine = mine if where is None else mine.where(where)
        oldest.append((await tx.execute(mine.order_by(key).limit(1))).scalar())
    return min((one for one in oldest if one is not None), default=None)


def _old(
    key: sa.Column[Any], workspace: str, before: Bound
) -> tuple[sa.ColumnElement[bool], sa.ColumnElement[bool]]:
    return key.table.c.workspace == workspace, key < before


async def _workspaces(tx: Tx, table: sa.FromClause) -> list[str]:
    return [row.workspace for row in (await tx.execute(_each_workspace(table))).all()]


@lru_cache
def _each_workspace(table: sa.FromClause) -> sa.Select[tuple[str]]:
    """One step through the key's index for each, where DISTINCT would read all of it."""
    column = table.c.workspace
    each = sa.select(sa.func.min(column).label("workspace")).cte("each", recursive=True)
    after = sa.select(sa.func.min(column)).where(column > each.c.workspace).scalar_subquery()
    each = each.union_all(sa.select(after).where(each.c.workspace.is_not(None)))
    return sa.select(each.c.workspace).where(each.c.workspace.is_not(None))
