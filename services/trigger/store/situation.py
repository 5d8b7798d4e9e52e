"""What every decision needs to know of the database as it is now, in one statement."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from services.trigger.store.customers import LONGEST_LAG
from services.trigger.tables import definition_copies, definitions, freshness
from shared.contracts.topics import Topic
from shared.db import Prepared, Tx, UtcDateTime, among

Version = tuple[int, int]
"""The sums of the revisions of a workspace's definitions and of its copies; every change raises one of them."""
_OWN, _COPIED, _READ, _RESTORED, _NOW = range(5)


@dataclass(frozen=True, slots=True)
class Situation:
    """The database's clock, whether the customers have been read up to it, give or take 30 s, and the versions of
    the definitions by workspace. Invitations may stand here before their events were read where these arrived before
    `restored_at`."""

    now: datetime
    fresh: bool
    versions: Mapping[str, Version]
    restored_at: datetime | None = None


async def look(tx: Tx, workspaces: Collection[str]) -> Situation:
    """The situation of these workspaces; one that has no definitions is at version (0, 0)."""
    sqlite = tx.dialect.name == "sqlite"
    rows = await (_WITHOUT_CLOCK if sqlite else _WITH_CLOCK).rows(tx, workspaces=list(workspaces))
    at = datetime.now(UTC)
    read_up_to = restored_at = None
    versions: dict[str, Version] = dict.fromkeys(workspaces, (0, 0))
    for what, workspace, version, moment in rows:
        if what == _NOW:
            at = moment
        elif what == _READ:
            read_up_to = moment
        elif what == _RESTORED:
            restored_at = moment
        else:
            own, copied = versions[workspace]
            versions[workspace] = (int(version), copied) if what == _OWN else (own, int(version))
    fresh = read_up_to is not None and at - read_up_to <= LONGEST_LAG
    return Situation(at, fresh, versions, restored_at)


def _revisions(what: int, table: sa.Table) -> sa.Select[Any]:
    c = table.c
    return (
        sa.select(
            sa.literal_column(str(what)),
            c.workspace,
            sa.func.sum(c.revision),
            sa.cast(sa.null(), UtcDateTime),
        )
        .where(among(c.workspace, "workspaces"))
        .group_by(c.workspace)
    )


def _moment(what: int, at: sa.ColumnElement[Any]) -> sa.Select[Any]:
    return sa.select(
        sa.literal_column(str(what)), sa.literal_column("''"), sa.literal_column("0"), at
    )


def _up_to(what: int, topic: Topic) -> sa.Select[Any]:
    return _moment(what, freshness.c.read_up_to).where(
        freshness.c.topic == sa.literal_column(f"'{topic}'")
    )


_PARTS = (
    _revisions(_OWN, definitions),
    _revisions(_COPIED, definition_copies),
    _up_to(_READ, Topic.CUSTOMERS),
    _up_to(_RESTORED, Topic.INVITATIONS),
)
_WITHOUT_CLOCK = Prepared(sa.union_all(*_PARTS))
_WITH_CLOCK = Prepared(sa.union_all(*_PARTS, _moment(_NOW, sa.func.clock_timestamp())))
