"""What `doctor` sees of alerting beside its loop and outbox: deliveries that failed, are overdue, or are held."""

from collections.abc import Sequence
from datetime import timedelta

from services.alerting.store import health
from shared.db import Database, now
from shared.operations import Check, Checks

_OVERDUE = timedelta(minutes=1)
_RECENT = timedelta(days=1)


def checks(database: Database) -> Checks:
    """The checks of one workspace. They raise `Unavailable`."""

    async def look(workspace: str) -> Sequence[Check]:
        async with database.read() as tx:
            at = await now(tx)
            failed = await health.failed(tx, workspace, at - _RECENT)
            overdue = await health.overdue(tx, workspace, at, at - _OVERDUE)
            held = await health.held(tx, workspace)
        return [_failed(failed), _overdue(overdue), _held(held)]

    return look


def _failed(count: int) -> Check:
    if not count:
        return Check("deliveries", "ok", "none was given up in the last day")
    hint = "see GET /v1/deliveries?state=failed for the reasons, and replay them there"
    return Check("deliveries", "warn", f"{count} were given up in the last day", hint)


def _overdue(count: int) -> Check:
    if not count:
        return Check("dispatch", "ok", "no delivery is overdue")
    hint = "is a receiver slow? else look at the log for `step_waits`"
    return Check("dispatch", "warn", f"{count} deliveries are over a minute late", hint)


def _held(count: int) -> Check:
    if not count:
        return Check("held", "ok", "no delivery waits for a paused endpoint")
    hint = (
        "see GET /v1/endpoints: `changed_by` tells of one that answered 410 and was paused for it"
    )
    return Check("held", "warn", f"{count} deliveries wait for a paused endpoint", hint)
