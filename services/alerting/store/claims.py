"""SQL of the dispatcher: what is due is leased, and every attempt is recorded."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple

import sqlalchemy as sa

from services.alerting.definitions import ENDPOINT
from services.alerting.rules.sending import Room
from services.alerting.store.endpoints import Endpoint, EndpointKey, load_targets
from services.alerting.tables import attempts, definitions, deliveries, messages
from shared.db import Prepared, Tx, Upsert, UtcDateTime, insert, load, now, update

_CHANGED = (
    "state",
    "reason",
    "attempts",
    "spent",
    "due_at",
    "leased_until",
    "changed_at",
)
_ARRIVED = (
    sa.update(deliveries)
    .values(
        state="delivered",
        reason=None,
        attempts=deliveries.c.attempts + 1,
        spent=deliveries.c.spent + 1,
        leased_until=None,
        changed_at=sa.bindparam("at", type_=UtcDateTime),
    )
    .returning(deliveries.c.workspace, deliveries.c.id, deliveries.c.attempts)
)
_MOST_ARMS = 32
DeliveryKey = tuple[str, str]
"""Workspace and delivery."""


class Claimed(NamedTuple):
    """A delivery leased to this worker, with all that sending it needs."""

    workspace: str
    id: str
    message: str
    body: bytes
    traceparent: str | None
    target: Endpoint
    secrets: tuple[str, ...]
    attempts: int
    """How many were made before."""

    @property
    def key(self) -> DeliveryKey:
        return self.workspace, self.id

    @property
    def lane(self) -> EndpointKey:
        return self.workspace, self.target.id

    @property
    def place(self) -> tuple[str, str, str]:
        """Where it stands in the order in which deliveries are locked."""
        return self.workspace, self.target.id, self.id


_PENDING: sa.ColumnElement[str] = sa.literal_column("'pending'")
"""Not a parameter: a plan that is kept for all parameters could not use the index of what is pending."""


def _is_free() -> sa.ColumnElement[bool]:
    """Whether a delivery is due and nobody's at the moment `at`."""
    d, at = deliveries.c, sa.bindparam("at", type_=UtcDateTime)
    nobodys = sa.or_(d.leased_until.is_(None), d.leased_until <= at)
    return sa.and_(d.state == _PENDING, d.due_at <= at, nobodys)


def _lanes_due() -> Prepared:
    d, e = deliveries.c, definitions.c
    own = sa.and_(d.workspace == e.workspace, d.endpoint == e.id)
    # With EXISTS it may become a join, which reads all that is due; this looks at one for each endpoint.
    first = sa.select(d.id).where(own, _is_free()).order_by(d.due_at).limit(1).scalar_subquery()
    return Prepared(
        sa.select(e.workspace, e.id)
        .where(e.kind == ENDPOINT, e.state == "active", first.is_not(None))
        .order_by(e.workspace, e.id)
    )


_LANES_DUE = _lanes_due()


async def lanes_due(tx: Tx) -> tuple[datetime, list[EndpointKey]]:
    """The database's time, and the active endpoints that have a delivery due and free; batch function over all
    workspaces."""
    at = await now(tx)
    return at, [(workspace, id) for workspace, id in await _LANES_DUE.rows(tx, at=at)]


async def claim(
    tx: Tx, rooms: Sequence[Room], at: datetime, *, lease_seconds: float
) -> list[Claimed]:
    """Lease what was due at that time of the database, for each lane no more than it has room for."""
    until = at + timedelta(seconds=lease_seconds)
    rows: list[Any] = []
    for start in range(0, len(rooms), _MOST_ARMS):
        some = rooms[start : start + _MOST_ARMS]
        rows += await _claiming(_arms(len(some))).rows(tx, at=at, until=until, **_places(some))
    return await _with_bodies(tx, rows, at)


def _arms(rooms: int) -> int:
    """The next power of two, so that few statements are ever built: building one costs more than running it."""
    return 1 << (rooms - 1).bit_length()


def _places(rooms: Sequence[Room]) -> dict[str, Any]:
    """The parameters of the statement; an arm without a room takes nothing."""
    found: dict[str, Any] = {}
    for arm in range(_arms(len(rooms))):
        room = rooms[arm] if arm < len(rooms) else Room(("", ""), 0)
        found[f"workspace_{arm}"], found[f"endpoint_{arm}"] = room.lane
        found[f"places_{arm}"] = room.places
    return found


@lru_cache
def _claiming(arms: int) -> Prepared:
    """Lease for so many lanes. Each takes its oldest, and skips what another worker is taking."""
    d = deliveries.c
    taken = [
        sa.select(d.workspace, d.endpoint, d.id)
        .where(
            d.workspace == sa.bindparam(f"workspace_{arm}", type_=sa.Text),
            d.endpoint == sa.bindparam(f"endpoint_{arm}", type_=sa.Text),
            _is_free(),
        )
        .order_by(d.due_at)
        .limit(sa.bindparam(f"places_{arm}", type_=sa.Integer))
        .with_for_update(skip_locked=True)
        .subquery()
        for arm in range(arms)
    ]
    # In a CTE it is run once; in a join it could be run, and lock its rows, again and again. The endpoint is in
    # the key so that either index that starts with the workspace will do.
    picked = sa.union_all(*(sa.select(arm) for arm in taken)).cte("picked")
    return Prepared(
        sa.update(deliveries)
        .where(
            sa.tuple_(d.workspace, d.endpoint, d.id).in_(
                sa.select(picked.prefix_with("MATERIALIZED"))
            )
        )
        .values(leased_until=sa.bindparam("until", type_=UtcDateTime))
        .returning(d.workspace, d.id, d.endpoint, d.message, d.attempts)
    )


async def save_arrived(tx: Tx, arrived: Iterable[Claimed], at: datetime) -> dict[DeliveryKey, int]:
    """Write that these deliveries, each given once, did arrive, whatever had become of them meanwhile; the number of
    the attempt for each that still stands."""
    d = deliveries.c
    keys = sorted(one.place for one in arrived)
    written = await update(tx, _ARRIVED, [d.workspace, d.endpoint, d.id], keys, at=at)
    return {(workspace, id): number for workspace, id, number in written}


async def lock_deliveries(tx: Tx, some: Iterable[Claimed]) -> list[Any]:
    """These deliveries, locked until the transaction ends."""
    d = deliveries.c
    keys = sorted({one.place for one in some})
    return await load(tx, deliveries, [d.workspace, d.endpoint, d.id], keys, lock=True)


async def save_deliveries(tx: Tx, changed: Sequence[dict[str, Any]]) -> None:
    """Write deliveries that are locked, whole."""
    ordered = sorted(changed, key=lambda row: (row["workspace"], row["id"]))
    await insert(tx, deliveries, ordered, upsert=Upsert(("workspace", "id"), replace=_CHANGED))


async def add_attempts(tx: Tx, made: Sequence[dict[str, Any]]) -> None:
    """Write down attempts; none is ever changed."""
    await insert(tx, attempts, made)


async def _with_bodies(tx: Tx, rows: Sequence[Any], at: datetime) -> list[Claimed]:
    targets = await load_targets(
        tx, {(workspace, endpoint) for workspace, _, endpoint, *_ in rows}, at
    )
    m = messages.c
    keys = sorted({(workspace, message) for workspace, _, _, message, _ in rows})
    wanted = [m.workspace, m.id, m.body, m.traceparent]
    found = await load(tx, wanted, [m.workspace, m.id], keys)
    sent = {(workspace, id): (bytes(body), trace) for workspace, id, body, trace in found}
    claimed = []
    for workspace, id, endpoint, message, before in rows:
        if target := targets.get((workspace, endpoint)):
            body, trace = sent[workspace, message]
            claimed.append(Claimed(workspace, id, message, body, trace, *target, before))
    return claimed
