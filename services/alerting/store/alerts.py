"""SQL about alerts: what was judged of each response, and the alerts that came of it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from services.alerting.rules.judging import Alert, ResponseKey
from services.alerting.tables import alerts, judged, past_alerts
from shared.contracts.messages import ResponseChanged
from shared.data_scope import View, dimensions_in
from shared.db import Tx, Upsert, insert, load

_ALERT = Upsert(
    ("workspace", "id"),
    replace=("revision", "state", "sequence", "severity", "raised_at", "changed_at", "document"),
    newer="revision",
)


async def lock_responses(tx: Tx, newest: Mapping[ResponseKey, int]) -> dict[ResponseKey, int]:
    """Lock each response until the transaction ends; the last revision judged of those that are known.

    `newest` is the revision up to which each is judged now: all there is to remember of one that is new.
    """
    rows = [{"workspace": w, "response": r, "revision": newest[w, r]} for w, r in sorted(newest)]
    written = await insert(tx, judged, rows, returning=("workspace", "response"))
    known = newest.keys() - {(row.workspace, row.response) for row in written}
    by = [judged.c.workspace, judged.c.response]
    found = await load(tx, judged, by, sorted(known), lock=True)
    return {(row.workspace, row.response): row.revision for row in found}


async def make_known(tx: Tx, keys: Iterable[ResponseKey]) -> None:
    """Have these responses known, of which no revision was judged: their alerts are looked for when one is."""
    rows = [{"workspace": w, "response": r, "revision": 0} for w, r in sorted(set(keys))]
    await insert(tx, judged, rows)


async def save_judged(tx: Tx, revisions: Mapping[ResponseKey, int]) -> None:
    """Remember what was judged, of responses that were known."""
    rows = [
        {"workspace": w, "response": r, "revision": revision}
        for (w, r), revision in sorted(revisions.items())
    ]
    upsert = Upsert(("workspace", "response"), replace=("revision",), newer="revision")
    await insert(tx, judged, rows, upsert=upsert)


async def load_alerts(tx: Tx, keys: Iterable[ResponseKey]) -> list[Alert]:
    """The alerts of these responses, those included that were let go of: of them the response is not known but for its
    id, nor is it needed, for a newer one is there."""
    wanted = sorted(set(keys))
    by = [alerts.c.workspace, alerts.c.response]
    found = {alert.key: alert for alert in map(_alert, await load(tx, alerts, by, wanted))}
    # Only then those of the past: one that is let go of in between is found twice, and never not at all.
    by = [past_alerts.c.workspace, past_alerts.c.response]
    past = {alert.key: alert for alert in map(_past_alert, await load(tx, past_alerts, by, wanted))}
    return list((past | found).values())


async def save_alerts(tx: Tx, changed: Iterable[Alert]) -> None:
    """Write alerts as they are now; their responses are locked."""
    rows = [
        {
            "workspace": a.workspace,
            "id": a.id,
            "rule": a.rule,
            "response": a.response.id,
            "customer": a.response.customer.id if a.response.customer else None,
            "revision": a.revision,
            "state": a.state,
            "sequence": a.sequence,
            "severity": a.severity,
            "raised_at": a.raised_at,
            "changed_at": a.changed_at,
            "document": a.response.model_dump(mode="json", exclude_none=True),
        }
        for a in sorted(changed, key=lambda alert: (alert.workspace, alert.id))
    ]
    await insert(tx, alerts, rows, upsert=_ALERT)


@dataclass(frozen=True)
class AlertFilter:
    """Which alerts a list shows; None is all."""

    rule: str | None = None
    customer: str | None = None
    response: str | None = None
    state: str | None = None


def shown(view: View) -> sa.ColumnElement[bool]:
    """Which alerts a view shows: those about a response that it would."""
    return view.condition(dimensions_in(alerts.c.document))


async def list_alerts(
    tx: Tx, workspace: str, view: View, wanted: AlertFilter, *, before: str | None, limit: int
) -> Sequence[sa.Row[Any]]:
    """Alerts, newest first, after the one whose id is `before`."""
    statement = sa.select(alerts).where(alerts.c.workspace == workspace, shown(view))
    for name in ("rule", "customer", "response", "state"):
        if (value := getattr(wanted, name)) is not None:
            statement = statement.where(alerts.c[name] == value)
    if before is not None:
        statement = statement.where(alerts.c.id < before)
    return (await tx.execute(statement.order_by(alerts.c.id.desc()).limit(limit))).all()


async def get_alert(tx: Tx, workspace: str, view: View, id: str) -> sa.Row[Any] | None:
    """One alert, None when this workspace has none of that id or the view does not show it."""
    mine = sa.select(alerts).where(alerts.c.workspace == workspace, alerts.c.id == id)
    return (await tx.execute(mine.where(shown(view)))).one_or_none()


def _alert(row: sa.Row[Any]) -> Alert:
    return _as_alert(row, ResponseChanged.model_validate(row.document))


def _past_alert(row: sa.Row[Any]) -> Alert:
    bare = ResponseChanged(
        revision=row.revision,
        id=row.response,
        state="submitted",
        survey="",
        survey_version=0,
        day=row.raised_at.date(),
        submitted_at=row.raised_at,
        changed_at=row.changed_at,
    )
    return _as_alert(row, bare)


def _as_alert(row: sa.Row[Any], response: ResponseChanged) -> Alert:
    raised_at: datetime = row.raised_at
    return Alert(
        workspace=row.workspace,
        id=row.id,
        rule=row.rule,
        response=response,
        revision=row.revision,
        state=row.state,
        sequence=row.sequence,
        severity=row.severity,
        raised_at=raised_at,
        changed_at=row.changed_at,
    )
