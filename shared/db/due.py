"""Rows that a clock makes due, claimed with a lease: who dies with some of them loses them to the next."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from shared.db.bulk import update
from shared.db.engine import Tx, now
from shared.db.prepared import Prepared, moment
from shared.db.types import UtcDateTime


class Due:
    """The rows of a table that wait for their time; `order_by` says which are claimed first, by default the oldest.

    With `at_most`, that many are claimed at once and the statement has no parameter: PostgreSQL keeps its plan. A plan
    for a table in ranges of days costs more than what it finds.
    """

    def __init__(
        self,
        table: sa.Table,
        *,
        due: sa.Column[Any],
        leased_until: sa.Column[Any],
        where: sa.ColumnElement[bool],
        order_by: Sequence[sa.ColumnElement[Any]] = (),
        at_most: int | None = None,
    ) -> None:
        at = moment("at")
        rows = sa.bindparam("rows", type_=sa.Integer)
        self._keys = tuple(table.primary_key.columns)
        end = sa.bindparam("end_of_lease", type_=UtcDateTime)
        self._lease = sa.update(table).values({leased_until: end}).returning(*table.c)
        self._at_most = at_most
        self._pick = Prepared(
            sa.select(*self._keys)
            .where(where, due <= at, sa.or_(leased_until.is_(None), leased_until <= at))
            .order_by(*(order_by or (due,)))
            .limit(rows if at_most is None else sa.literal_column(str(at_most)))
            .with_for_update(skip_locked=True)
        )

    async def claim(self, tx: Tx, *, lease_seconds: float, limit: int | None = None) -> list[Any]:
        """Lease up to `limit` rows that are due and not leased, skipping what another worker holds.

        The caller does its work outside this transaction and records it before the lease ends; rows of a worker
        that died are due again when their lease has passed. Times are the database's.
        """
        at = await now(tx)
        values: dict[str, Any] = {} if tx.dialect.name == "postgresql" else {"at": at}
        if self._at_most is None:
            values["rows"] = limit
        picked = [tuple(row) for row in await self._pick.rows(tx, **values)]
        # In a second statement, for one that is given the keys can leave out the ranges that none of them is in.
        end = at + timedelta(seconds=lease_seconds)
        return await update(tx, self._lease, self._keys, picked, end_of_lease=end)


async def seconds_overdue(tx: Tx, due: Mapping[str, sa.Select[tuple[Any]]]) -> dict[str, float]:
    """For each select of due times, for how many seconds the first of them has been past; 0 for none or later."""
    at = await now(tx)
    found: dict[str, float] = {}
    for work, select in due.items():
        (due_at,) = select.selected_columns
        first: datetime | None = (await tx.execute(select.order_by(due_at).limit(1))).scalar()
        found[work] = max(0.0, (at - first).total_seconds()) if first is not None else 0.0
    return found
