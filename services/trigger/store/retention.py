"""What trigger keeps for how long: decisions in ranges of days, invitations that have ended, the narrow rows of events."""

from datetime import date

import sqlalchemy as sa

from services.trigger.settings import EVENTS_KEPT_DAYS
from services.trigger.tables import decisions, invitations, seen
from shared.db import Tx, delete, now
from shared.db.ages import count_older, older_rows, oldest_day
from shared.db.partitions import Range, remainder
from shared.kept import Before, Kept

_I = invitations.c
_ENDED = ("answered", "expired", "stopped")
_IS_PENDING = decisions.c.outcome == sa.literal_column("'pending'")


def kept(decisions_days: int, invitations_days: int) -> list[Kept]:
    """The classes of data of trigger. Events are forgotten by a step of their own."""
    return [
        Kept(
            "decisions",
            decisions_days,
            ("decisions",),
            oldest=_oldest_decision,
            count=_count_decisions,
            delete=_delete_decisions,
            wide=(decisions,),
            holds=_has_pending,
        ),
        Kept(
            "invitations",
            invitations_days,
            ("invitations",),
            oldest=_oldest_invitation,
            count=_count_invitations,
            delete=_delete_invitations,
        ),
        Kept("events", EVENTS_KEPT_DAYS, ("seen",), oldest=_oldest_event, count=_count_events),
    ]


async def _has_pending(tx: Tx, one: Range, before: Before | None) -> bool:
    """A decision that is not released yet must not vanish, however old it is."""
    d = decisions.c
    pending = sa.select(d.id).where(_IS_PENDING, d.id >= one.first, d.id < one.end).limit(1)
    return (await tx.execute(pending)).first() is not None


async def _delete_decisions(tx: Tx, before: Before, limit: int) -> int:
    d = remainder(tx.dialect.name, decisions).c
    settled = d.outcome != "pending"
    rows = await older_rows(tx, [d.workspace, d.id], d.id, before.id, settled, limit=limit)
    await delete(tx, d.id.table, [d.workspace, d.id], [tuple(row) for row in rows])
    return len(rows)


async def _count_decisions(tx: Tx, before: Before, most: int) -> int:
    d = remainder(tx.dialect.name, decisions).c
    return await count_older(tx, d.id, before.id, d.outcome != "pending", most=most)


async def _oldest_decision(tx: Tx) -> date | None:
    return await oldest_day(tx, decisions.c.id)


async def _delete_invitations(tx: Tx, before: Before, limit: int) -> int:
    """That a transaction had its invitation stands in `holds`, which nobody deletes."""
    columns = [_I.workspace, _I.id]
    rows = await older_rows(tx, columns, _I.id, before.id, await _is_over(tx), limit=limit)
    await delete(tx, invitations, columns, [tuple(row) for row in rows])
    return len(rows)


async def _count_invitations(tx: Tx, before: Before, most: int) -> int:
    return await count_older(tx, _I.id, before.id, await _is_over(tx), most=most)


async def _oldest_invitation(tx: Tx) -> date | None:
    return await oldest_day(tx, _I.id)


async def _is_over(tx: Tx) -> sa.ColumnElement[bool]:
    """Whether nothing can become of an invitation any more, and nobody can open its link."""
    return sa.and_(_I.state.in_(_ENDED), _I.expires_at < await now(tx))


async def _count_events(tx: Tx, before: Before, most: int) -> int:
    old = sa.select(seen.c.id).where(seen.c.arrived_at < before.at).limit(most).subquery()
    return int((await tx.execute(sa.select(sa.func.count()).select_from(old))).scalar_one())


async def _oldest_event(tx: Tx) -> date | None:
    oldest = (await tx.execute(sa.select(sa.func.min(seen.c.arrived_at)))).scalar_one()
    return oldest.date() if oldest else None
