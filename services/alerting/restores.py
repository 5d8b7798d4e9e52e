"""Takes over again what alerting itself announced, where its database is older than the log."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from services.alerting.definitions import ENDPOINT, RULE
from services.alerting.rules.judging import Announcement, restored
from services.alerting.store import alerts as store
from services.alerting.store.endpoints import forget_endpoints, load_rules, make_secrets
from services.alerting.tables import definitions
from services.alerting.worker import deliver
from shared.contracts.envelope import Received
from shared.contracts.topics import Topic
from shared.db import Tx, load, now
from shared.definitions.store import restore_definitions
from shared.recovery import Restore


async def _restore_definitions(tx: Tx, batch: Sequence[Received[Any]]) -> int:
    """The rules and endpoints. Secrets are never announced: an endpoint that has none is given a new one."""
    written = await restore_definitions(tx, definitions, batch, {RULE, ENDPOINT})
    d = definitions.c
    at = await now(tx)
    endpoints = [key for key in written if key[1] == ENDPOINT]
    for row in await load(tx, definitions, [d.workspace, d.kind, d.id], endpoints):
        if row.state == "deleted":
            await forget_endpoints(tx, row.workspace, [row.id], at)
        else:
            await make_secrets(tx, row.workspace, [row.id], at)
    return len(written)


async def _restore_alerts(tx: Tx, batch: Sequence[Received[Any]]) -> int:
    """The alerts, and deliveries of all that was announced of them: whether it arrived is not known any more, and
    whoever has it knows it by its `webhook-id`. Where another alert of the same rule and response stands, raised while
    this one was not known, that one stays."""
    rules = {(rule.workspace, rule.id): rule for rule in await load_rules(tx, _workspaces(batch))}
    announcements = [
        Announcement(
            restored(each.workspace, each.message, each.told_at or each.appended_at, rule),
            rule.name if rule else {},
            each.traceparent,
        )
        for each in await _newer(tx, batch)
        for rule in [rules.get((each.workspace, each.message.rule))]
    ]
    announcements = list({a.message_id: a for a in announcements}.values())
    last = {a.alert.key: a.alert for a in sorted(announcements, key=lambda a: a.alert.sequence)}
    await store.make_known(tx, [(alert.workspace, alert.response.id) for alert in last.values()])
    await store.save_alerts(tx, last.values())
    await deliver(tx, announcements, await now(tx))
    return len(announcements)


async def _newer(tx: Tx, batch: Sequence[Received[Any]]) -> list[Received[Any]]:
    """What was announced of alerts since what is known of them."""
    responses = {(each.workspace, each.message.response.id) for each in batch}
    known = {
        alert.key: (alert.id, alert.sequence) for alert in await store.load_alerts(tx, responses)
    }
    newer = []
    for each in batch:
        key = each.workspace, each.message.response.id, each.message.rule
        id, sequence = known.setdefault(key, (each.message.id, 0))
        if id == each.message.id and each.message.revision > sequence:
            newer.append(each)
    return newer


def _workspaces(batch: Sequence[Received[Any]]) -> set[str]:
    return {each.workspace for each in batch}


RESTORES: Final[Mapping[str, Restore]] = {
    Topic.DEFINITIONS: _restore_definitions,
    Topic.ALERTS: _restore_alerts,
}
