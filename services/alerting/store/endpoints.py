"""SQL about rules and endpoints as the worker and the dispatcher use them, and about endpoints' secrets."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import sqlalchemy as sa

from services.alerting.definitions import ENDPOINT, RULE, condition_of, matches
from services.alerting.instruments import ENDPOINTS_PAUSED
from services.alerting.rules.judging import Rule
from services.alerting.tables import definitions, deliveries, endpoint_secrets, outbox
from shared.contracts.values import DefinitionState
from shared.db import Prepared, Tx, after_commit, among, insert, load
from shared.definitions import Definition
from shared.definitions.store import get_definition, save_definitions
from shared.webhook import new_secret

SECRET_OVERLAP = timedelta(hours=24)
_MOST_SECRETS = 10
EndpointKey = tuple[str, str]
"""Workspace and endpoint."""
_HOLDING = Prepared(
    sa.select(definitions)
    .where(
        among(definitions.c.workspace, "workspaces"),
        definitions.c.kind == ENDPOINT,
        definitions.c.state != "deleted",
    )
    .order_by(definitions.c.workspace, definitions.c.id)
    .with_for_update(read=True)
)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An endpoint as it stands."""

    workspace: str
    id: str
    revision: int
    state: DefinitionState
    url: str
    types: tuple[str, ...]
    active_from: datetime

    def subscribes(self, type: str) -> bool:
        return any(matches(pattern, type) for pattern in self.types)


async def load_rules(tx: Tx, workspaces: Iterable[str]) -> list[Rule]:
    """All alert rules of these workspaces, paused ones included."""
    rows = await _load_kind(tx, RULE, workspaces)
    return [
        Rule(
            workspace=row.workspace,
            id=row.id,
            active=row.state == "active",
            active_from=row.active_from,
            severity=row.document.get("severity", "normal"),
            name=row.document.get("name", {}),
            condition=condition_of(row.document["when"]),
        )
        for row in rows
    ]


async def load_endpoints(tx: Tx, workspaces: Iterable[str]) -> list[Endpoint]:
    """All endpoints of these workspaces, paused ones included: what is due to them waits."""
    return [_endpoint(row) for row in await _load_kind(tx, ENDPOINT, workspaces)]


async def hold_endpoints(tx: Tx, workspaces: Iterable[str]) -> list[Endpoint]:
    """The same, and none of them can be deleted before this transaction ends: a delivery to one that goes
    meanwhile would never be sent nor cancelled."""
    found = await _HOLDING.rows(tx, workspaces=sorted(set(workspaces)))
    return [_endpoint(row) for row in found]


async def get_endpoint(tx: Tx, workspace: str, id: str) -> Endpoint | None:
    """One endpoint, None when there is none or it was deleted."""
    found = await get_definition(tx, definitions, workspace, ENDPOINT, id)
    return _endpoint(found) if found else None


async def hold_endpoint(tx: Tx, workspace: str, id: str) -> Endpoint | None:
    """One endpoint that is not deleted before this transaction ends, for what puts something in its queue."""
    return next((one for one in await hold_endpoints(tx, [workspace]) if one.id == id), None)


async def load_targets(
    tx: Tx, keys: Iterable[EndpointKey], at: datetime
) -> dict[EndpointKey, tuple[Endpoint, tuple[str, ...]]]:
    """The endpoints with the secrets that sign for them now, the newest first."""
    ordered = sorted(set(keys))
    d = definitions.c
    found = await load(
        tx, definitions, [d.workspace, d.kind, d.id], [(w, ENDPOINT, id) for w, id in ordered]
    )
    s = endpoint_secrets.c
    secrets = await load(tx, endpoint_secrets, [s.workspace, s.endpoint], ordered)
    by_endpoint: dict[EndpointKey, list[str]] = {}
    for row in sorted(secrets, key=lambda row: -row.number):
        own = by_endpoint.setdefault((row.workspace, row.endpoint), [])
        if (row.retired_at is None or row.retired_at > at) and len(own) < _MOST_SECRETS:
            own.append(row.secret)
    return {
        (row.workspace, row.id): (
            _endpoint(row),
            tuple(by_endpoint.get((row.workspace, row.id), ())),
        )
        for row in found
        if row.state != "deleted"
    }


async def make_secrets(tx: Tx, workspace: str, endpoints: Iterable[str], at: datetime) -> None:
    """Give each endpoint that has no secret its first one. Idempotent."""
    rows = [_secret(workspace, endpoint, 1, at) for endpoint in sorted(set(endpoints))]
    await insert(tx, endpoint_secrets, rows)


async def rotate_secret(tx: Tx, workspace: str, endpoint: str, at: datetime) -> None:
    """Make a new secret; those before it go on signing for 24 hours more."""
    held = await list_secrets(tx, workspace, endpoint, at, lock=True)
    s = endpoint_secrets
    await tx.execute(
        sa.update(s)
        .where(s.c.workspace == workspace, s.c.endpoint == endpoint, s.c.retired_at.is_(None))
        .values(retired_at=at + SECRET_OVERLAP)
    )
    await insert(tx, s, [_secret(workspace, endpoint, held[0].number + 1, at)])


async def list_secrets(
    tx: Tx, workspace: str, endpoint: str, at: datetime, *, lock: bool = False
) -> list[sa.Row[Any]]:
    """The secrets that are valid now, the newest first."""
    s = endpoint_secrets.c
    rows = await load(
        tx, endpoint_secrets, [s.workspace, s.endpoint], [(workspace, endpoint)], lock=lock
    )
    valid = [row for row in rows if row.retired_at is None or row.retired_at > at]
    return sorted(valid, key=lambda row: -row.number)


async def forget_endpoints(tx: Tx, workspace: str, endpoints: Sequence[str], at: datetime) -> None:
    """What deleting endpoints means here: their secrets go, and what waits for them is cancelled."""
    s, d = endpoint_secrets, deliveries
    await tx.execute(sa.delete(s).where(s.c.workspace == workspace, s.c.endpoint.in_(endpoints)))
    await tx.execute(
        sa.update(d)
        .where(d.c.workspace == workspace, d.c.endpoint.in_(endpoints), d.c.state == "pending")
        .values(state="cancelled", reason="endpoint_deleted", changed_at=at, leased_until=None)
    )


async def pause_gone(tx: Tx, gone: Iterable[tuple[str, str, int]], at: datetime) -> None:
    """Pause endpoints that answered 410, unless they were changed since; `changed_by` tells why."""
    keys = {(w, ENDPOINT, id): revision for w, id, revision in gone}
    d = definitions.c
    rows = await load(tx, definitions, [d.workspace, d.kind, d.id], sorted(keys), lock=True)
    paused = [
        Definition(
            **dict(row._mapping)
            | {
                "revision": row.revision + 1,
                "state": "paused",
                "document": row.document | {"state": "paused"},
                "changed_at": at,
                "changed_by": "alerting: the endpoint answered 410 Gone",
            }
        )
        for row in rows
        if row.state == "active" and row.revision == keys[(row.workspace, row.kind, row.id)]
    ]
    await save_definitions(tx, definitions, outbox, paused, source="alerting")
    after_commit(tx, partial(ENDPOINTS_PAUSED.inc, len(paused)))


def _secret(workspace: str, endpoint: str, number: int, at: datetime) -> dict[str, Any]:
    return {
        "workspace": workspace,
        "endpoint": endpoint,
        "number": number,
        "secret": new_secret(),
        "created_at": at,
    }


async def _load_kind(tx: Tx, kind: str, workspaces: Iterable[str]) -> list[sa.Row[Any]]:
    d = definitions.c
    rows = await load(
        tx, definitions, [d.workspace, d.kind], [(w, kind) for w in sorted(set(workspaces))]
    )
    return [row for row in rows if row.state != "deleted"]


def _endpoint(row: sa.Row[Any] | Definition) -> Endpoint:
    document = row.document
    return Endpoint(
        workspace=row.workspace,
        id=row.id,
        revision=row.revision,
        state=row.state,
        url=document["url"],
        types=tuple(document.get("types", ("alert.*",))),
        active_from=row.active_from,
    )
