"""What `doctor` is told of deliveries: failed, overdue and held ones, each of the caller's workspace alone."""

from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from services.alerting.tables import deliveries
from tests.integration.alerting.conftest import Alerting
from tests.unit.alerting.responses import received, response


async def states(alerting: Alerting, workspace: str = "acme") -> dict[str, str]:
    status = await alerting.get("/v1/operations/alerting/status", workspace)
    return {check["name"]: check["state"] for check in status["checks"] if check["name"] in WELL}


WELL = {"deliveries": "ok", "dispatch": "ok", "held": "ok"}


async def test_failed_overdue_and_held_deliveries_are_told_to_their_workspace(
    alerting: Alerting,
) -> None:
    await alerting.put_rule()
    await alerting.put_endpoint("http://127.0.0.1:9009/hook")
    await alerting.handle(received(response("r1")))
    assert await states(alerting) == WELL

    long_ago = datetime.now(UTC) - timedelta(minutes=5)
    await alerting.make_due(due_at=long_ago)
    assert await states(alerting) == WELL | {"dispatch": "warn"}
    assert await states(alerting, "other") == WELL
    await alerting.make_due(due_at=long_ago, leased_until=datetime.now(UTC) + timedelta(minutes=5))
    assert await states(alerting) == WELL

    await alerting.put_endpoint("http://127.0.0.1:9009/hook", state="paused")
    assert await states(alerting) == WELL | {"held": "warn"}

    async with alerting.database.begin() as tx:
        await tx.execute(sa.update(deliveries).values(state="failed"))
    assert await states(alerting) == WELL | {"deliveries": "warn"}
    async with alerting.database.begin() as tx:
        await tx.execute(sa.update(deliveries).values(changed_at=long_ago - timedelta(days=2)))
    assert await states(alerting) == WELL
