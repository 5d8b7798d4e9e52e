"""The outbox: what a transaction wants to say, stored with its effect and published by one leased relay."""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
import uuid_utils

from shared import crash
from shared.contracts.envelope import Encoded, encode_message
from shared.contracts.keys import Key
from shared.contracts.messages import Message
from shared.db import BigId, Database, Prepared, Tx, UtcDateTime, append, delete, now, wake
from shared.due import run_steps
from shared.errors import Refused, Unavailable
from shared.instruments import (
    OUTBOX_BLOCKED,
    OUTBOX_OLDEST_SECONDS,
    OUTBOX_PUBLISHED,
    OUTBOX_WAITING,
)
from shared.leases import Lease
from shared.log import Outgoing, Producer, TopicPartition
from shared.positions import announced, note
from shared.telemetry import current_traceparent, log
from shared.tracing.messages import publishing

SIGNAL = "outbox"
_BATCH = 500
"""Few enough that who consumes them begins with some while the next are published."""
_POLL_SECONDS = 0.2
_MOST_COUNTED = 100_000


def outbox_table(metadata: sa.MetaData) -> sa.Table:
    """The table every service has; a row is deleted once the log holds its message. Few rows are ever blocked, and
    each step looks for them."""
    blocked = sa.text("blocked IS NOT NULL")
    return sa.Table(
        "outbox",
        metadata,
        sa.Column("id", BigId, sa.Identity(), primary_key=True),
        sa.Column("topic", sa.Text, nullable=False),
        sa.Column("key", sa.LargeBinary, nullable=False),
        sa.Column("value", sa.LargeBinary),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("blocked", sa.Text),
        sa.Index("outbox_blocked", "topic", "key", postgresql_where=blocked, sqlite_where=blocked),
    )


async def announce(
    tx: Tx,
    table: sa.Table,
    source: str,
    at: datetime,
    announcements: Sequence[tuple[Key, Message | Encoded]],
    *,
    traceparents: Sequence[str | None] | None = None,
) -> None:
    """Store messages to be published after the commit, in the order given. Call it after the entity's row is
    locked: the ids drawn here are the order of publishing."""
    trace = current_traceparent()
    records = [
        encode_message(
            key,
            message,
            id=str(uuid_utils.uuid7()),
            source=source,
            time=at,
            traceparent=traceparent or trace,
        )
        for (key, message), traceparent in zip(
            announcements, traceparents or [None] * len(announcements), strict=True
        )
    ]
    rows = [{"topic": r.topic, "key": r.key, "value": r.value, "created_at": at} for r in records]
    if rows:
        await append(tx, table, rows)
        wake(tx, SIGNAL)


class Relay:
    """Publishes unpublished rows in id order while it holds the lease; runs in every replica, works in one."""

    def __init__(
        self,
        database: Database,
        table: sa.Table,
        positions: sa.Table,
        lease: Lease,
        producer: Producer,
    ) -> None:
        self._database = database
        self._table = table
        self._positions = positions
        self._lease = lease
        self._producer = producer
        self._service = database.service
        self._count = OUTBOX_PUBLISHED.labels(database.service)
        t = table.c
        held = sa.select(t.topic, t.key).where(t.blocked.is_not(None))
        free = sa.tuple_(t.topic, t.key).not_in(held)
        waiting = sa.select(t.id, t.topic, t.key, t.value).where(t.blocked.is_(None), free)
        self._next = Prepared(waiting.order_by(t.id).limit(sa.literal_column(str(_BATCH))))

    async def run(self, stop: asyncio.Event) -> None:
        """Publish until stopped; a log or a database that is away is tried again for ever."""
        signal = self._database.signal(SIGNAL)
        await run_steps(
            self._service,
            "outbox",
            self.step,
            signal=signal,
            stop=stop,
            poll_seconds=_POLL_SECONDS,
            batch=_BATCH,
        )
        with contextlib.suppress(Unavailable):
            await self._lease.release()

    async def step(self) -> int:
        """Publish one batch; return how many rows left the outbox. A replay republishes: consumers dedupe."""
        if not await self._lease.hold():
            return 0
        async with self._database.read() as tx:
            rows = await self._next.rows(tx)
        if not rows:
            return 0
        ends = await self._publish(rows)
        crash.point(crash.Point.RELAY_AFTER_PUBLISH)
        if ends is None:
            return 0
        async with self._database.begin() as tx:
            await delete(tx, self._table, [self._table.c.id], [(row.id,) for row in rows])
            await note(tx, self._positions, {announced(at): end for at, end in ends.items()})
        self._count.inc(len(rows))
        return len(rows)

    async def _publish(self, rows: Sequence[Any]) -> Mapping[TopicPartition, int] | None:
        """Where the log goes on after them; None when one was refused, though others may have landed."""
        records = [
            Outgoing(topic, bytes(key), None if value is None else bytes(value))
            for _, topic, key, value in rows
        ]
        try:
            with publishing(self._service, records) as carrying:
                return await self._producer.send(carrying)
        except Refused as refusal:
            await self._block(rows[refusal.index], refusal)
            return None

    async def _block(self, row: Any, refusal: Refused) -> None:
        """Mark the refused row; it and the later rows of its key wait for an operator, all others go on."""
        log.error(
            "outbox_row_refused",
            service=self._service,
            row=row.id,
            topic=row.topic,
            reason=str(refusal),
        )
        async with self._database.begin() as tx:
            await tx.execute(
                sa.update(self._table)
                .where(self._table.c.id == row.id)
                .values(blocked=str(refusal)[:500])
            )


async def measure(database: Database, table: sa.Table) -> dict[str, float]:
    """How much waits, counted up to a number, how old the oldest is, how many are blocked; feeds metrics, status and
    `doctor`. Cheap however much there is."""
    t = table.c
    some = sa.select(t.id).limit(_MOST_COUNTED).subquery()
    oldest = sa.select(t.created_at).order_by(t.id).limit(1).scalar_subquery()
    blocked = sa.select(sa.func.count()).where(t.blocked.is_not(None)).scalar_subquery()
    statement = sa.select(
        sa.func.count().label("waiting"), oldest.label("oldest"), blocked.label("blocked")
    ).select_from(some)
    async with database.read() as tx:
        row = (await tx.execute(statement)).one()
        age = await now(tx) - row.oldest if row.oldest else timedelta(0)
    OUTBOX_WAITING.labels(database.service).set(row.waiting)
    OUTBOX_OLDEST_SECONDS.labels(database.service).set(age.total_seconds())
    OUTBOX_BLOCKED.labels(database.service).set(row.blocked)
    return {"waiting": row.waiting, "oldest_seconds": age.total_seconds(), "blocked": row.blocked}
