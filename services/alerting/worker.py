"""Judges responses: claim what is new, load, decide, save alerts with their deliveries, announce."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec
import uuid_utils

from services.alerting.instruments import ALERTS
from services.alerting.rules.judging import Announcement, ResponseKey, Seen, body_of, judge
from services.alerting.store import alerts as store
from services.alerting.store.deliveries import NewMessage, add_deliveries
from services.alerting.store.endpoints import Endpoint, hold_endpoints
from services.alerting.store.rulebooks import Rulebooks
from services.alerting.tables import outbox, positions
from shared import crash
from shared.contracts.envelope import Received
from shared.contracts.keys import Key
from shared.contracts.messages import ResponseChanged
from shared.db import Database, Tx, now
from shared.outbox import announce
from shared.positions import advance
from shared.telemetry import log


@dataclass(frozen=True)
class Judge:
    """The handler of the responses topic."""

    database: Database
    _rulebooks: Rulebooks = field(default_factory=Rulebooks)

    async def handle(self, batch: Sequence[Received[Any]]) -> None:
        """Apply one batch in one transaction. Replaying it changes nothing: each revision is judged once."""
        seen = [
            Seen(r.workspace, r.message, r.appended_at, r.traceparent)
            for r in batch
            if isinstance(r.message, ResponseChanged)
        ]
        newest: dict[ResponseKey, int] = {}
        for one in seen:
            newest[one.key] = max(one.response.revision, newest.get(one.key, 0))
        async with self.database.begin() as tx:
            known = await store.lock_responses(tx, newest)
            rules = await self._rulebooks.load(tx, {workspace for workspace, _ in newest})
            standing = await store.load_alerts(tx, known)
            at = await now(tx)
            verdict = judge(seen, known, rules, standing, at, _new_id)
            await store.save_judged(tx, {k: r for k, r in verdict.judged.items() if k in known})
            await store.save_alerts(tx, verdict.alerts.values())
            deliveries = await _announce(tx, verdict.announcements, at)
            await advance(tx, positions, batch)
            crash.point(crash.Point.WORKER_BEFORE_COMMIT)
        for announcement in verdict.announcements:
            ALERTS.labels(announcement.type).inc()
        if verdict.announcements:
            log.info(
                "alerts_announced", announced=len(verdict.announcements), deliveries=deliveries
            )


async def deliver(tx: Tx, announcements: Sequence[Announcement], at: datetime) -> int:
    """Store a delivery for each subscribed endpoint; how many those are."""
    if not announcements:
        return 0
    endpoints = await hold_endpoints(tx, {a.alert.workspace for a in announcements})
    pairs = [(_rendered(a), _subscribed(a, endpoints)) for a in announcements]
    return len(await add_deliveries(tx, pairs, at))


async def _announce(tx: Tx, announcements: Sequence[Announcement], at: datetime) -> int:
    """Store the deliveries, and the messages for the alerts topic; how many deliveries."""
    deliveries = await deliver(tx, announcements, at)
    await announce(
        tx,
        outbox,
        "alerting",
        at,
        [(_key(a), a.message()) for a in announcements],
        traceparents=[a.traceparent for a in announcements],
    )
    return deliveries


def _rendered(announcement: Announcement) -> NewMessage:
    alert = announcement.alert
    return NewMessage(
        workspace=alert.workspace,
        id=announcement.message_id,
        alert=alert.id,
        sequence=alert.sequence,
        type=announcement.type,
        body=msgspec.json.encode(body_of(announcement)),
        traceparent=announcement.traceparent,
    )


def _subscribed(announcement: Announcement, endpoints: Sequence[Endpoint]) -> list[str]:
    return [
        endpoint.id
        for endpoint in endpoints
        if endpoint.workspace == announcement.alert.workspace
        and endpoint.subscribes(announcement.type)
    ]


def _key(announcement: Announcement) -> Key:
    alert = announcement.alert
    customer = alert.response.customer
    return Key(alert.workspace, customer.id if customer else alert.id)


def _new_id() -> str:
    return str(uuid_utils.uuid7())
