"""What `doctor` sees of trigger beside its loop and outbox: unread customers, overdue releases, failed sendings."""

from collections.abc import Sequence
from datetime import timedelta

from services.trigger.store import customers, health
from shared.db import Database, now
from shared.operations import Check, Checks

_OVERDUE = timedelta(minutes=1)
_RECENT = timedelta(days=1)


def checks(database: Database) -> Checks:
    """The checks of one workspace. They raise `Unavailable`."""

    async def look(workspace: str) -> Sequence[Check]:
        async with database.read() as tx:
            at = await now(tx)
            fresh = await customers.is_fresh(tx, at)
            overdue = await health.overdue_releases(tx, workspace, at - _OVERDUE)
            failed = await health.failed_sendings(tx, workspace, at - _RECENT)
        return [_customers(fresh), _releases(overdue), _sendings(failed)]

    return look


def _customers(fresh: bool) -> Check:
    if fresh:
        return Check("customers", "ok", "all changes of customers have been read")
    hint = "nobody is asked until they are: look at the lag of the topic customers"
    return Check("customers", "warn", "the latest changes of customers have not been read", hint)


def _releases(overdue: int) -> Check:
    if not overdue:
        return Check("releases", "ok", "no decision is overdue")
    hint = "while customers lag this is meant to be; else look at the log for `step_waits`"
    return Check("releases", "warn", f"{overdue} pending decisions are over a minute late", hint)


def _sendings(failed: int) -> Check:
    if not failed:
        return Check("sendings", "ok", "no sending was given up in the last day")
    hint = "see GET /v1/invitations?state=failed for the last error of each"
    return Check(
        "sendings", "warn", f"{failed} invitations could not be sent in the last day", hint
    )
