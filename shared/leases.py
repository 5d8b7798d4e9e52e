"""A lease in the database: at most one holder at a time by the database's clock, taken over when it lapses."""

import time
from datetime import timedelta

import sqlalchemy as sa
import uuid_utils

from shared.db import Database, UtcDateTime, insert, now


def lease_table(metadata: sa.MetaData) -> sa.Table:
    """One row per thing that only one replica may do."""
    return sa.Table(
        "leases",
        metadata,
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("holder", sa.Text, nullable=False),
        sa.Column("until", UtcDateTime, nullable=False),
    )


class Lease:
    """Held by the process that renews it; a holder that stalls past the end must expect a second one."""

    def __init__(
        self, database: Database, table: sa.Table, name: str, *, seconds: float = 20.0
    ) -> None:
        """`seconds` must exceed by a third what the holder does between two calls of `hold`."""
        self._database = database
        self._table = table
        self._name = name
        self._holder = str(uuid_utils.uuid7())
        self._seconds = seconds
        self._held = False
        self._look_at = 0.0

    async def hold(self) -> bool:
        """Take or renew the lease; False while another holds it. Asks the database when a quarter of it has passed,
        and for another's lease ten times in its length."""
        if time.monotonic() < self._look_at:
            return self._held
        started = time.monotonic()
        t = self._table
        async with self._database.begin() as tx:
            at = await now(tx)
            row = {"name": self._name, "holder": self._holder, "until": at}
            await insert(tx, t, [row])
            mine = sa.or_(t.c.holder == self._holder, t.c.until <= at)
            taken = await tx.execute(
                sa.update(t)
                .where(t.c.name == self._name, mine)
                .values(holder=self._holder, until=at + timedelta(seconds=self._seconds))
            )
        self._held = taken.rowcount == 1
        self._look_at = started + self._seconds / (4 if self._held else 10)
        return self._held

    async def release(self) -> None:
        """Let another replica go on at once; without it the lease lapses by itself."""
        self._held, self._look_at = False, 0.0
        t = self._table
        async with self._database.begin() as tx:
            await tx.execute(sa.delete(t).where(t.c.name == self._name, t.c.holder == self._holder))
