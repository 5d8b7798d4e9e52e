"""Rows that a clock makes due, claimed with a lease: who dies with some of them loses them to the next."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from shared.db.engine import Tx, now
from shared.db.prepared import Prepared
from shared.db.types import UtcDateTime


class Due:
    """The rows of a table that wait for their time; `order_by` says which are claimed first, by default the oldest."""

    def __init__(
        self,
        table: sa.Table,
        *,
        due: sa.Column[Any],
        leased_until: sa.Column[Any],
        where: sa.ColumnElement[bool],
        order_by: Sequence[sa.ColumnElement[Any]] = (),
    ) -> None:
        at = sa.bindparam("at", type_=UtcDateTime)
        keys = list(table.primary_key.columns)
        picked = (
            sa.select(*keys)
            .where(where, due <= at, sa.or_(leased_until.is_(None), leased_until <= at))
            .order_by(*(order_by or (due,)))
            .limit(sa.bindparam("rows", type_=sa.Integer))
            .with_for_update(skip_locked=True)
        )
        leased = {leased_until.name: sa.bindparam("until", type_=UtcDateTime)}
        self._claim = Prepared(
            sa.update(table).where(sa.tuple_(*keys).in_(picked)).values(leased).returning(*table.c)
        )

    async def claim(self, tx: Tx, *, limit: int, lease_seconds: float) -> list[Any]:
        """Lease up to `limit` rows that are due and not leased, skipping what another worker holds.

        The caller does its work outside this transaction and records it before the lease ends; rows of a worker
        that died are due again when their lease has passed. Times are the database's.
        """
        at = await now(tx)
        until = at + timedelta(seconds=lease_seconds)
        return await self._claim.rows(tx, at=at, until=until, rows=limit)
