"""Alerts that are let go of, on both databases: their identity stays, so that none is raised again as another one."""

from typing import Any

import pytest
import sqlalchemy as sa

from services.alerting.store.retention import kept
from services.alerting.tables import alerts, leases, past_alerts
from tests.integration.alerting.conftest import Alerting
from tests.integration.letting_go import BrokenOffError, broken_off, let_go, outlooks
from tests.support import days_ago, id_of
from tests.unit.alerting.responses import received, response

KEPT_DAYS = 50
CLASSES = kept(0, KEPT_DAYS)


@pytest.fixture
async def raised(alerting: Alerting) -> Alerting:
    """With an endpoint and one old alert, of an answer of 3, that was delivered."""
    await alerting.put_rule()
    await alerting.put_endpoint("http://127.0.0.1:9999/hook")
    await alerting.handle(received(response()))
    await age(alerting)
    return alerting


async def age(alerting: Alerting, days: float = KEPT_DAYS + 2) -> str:
    """Let the one alert have been raised so long ago; its id from then on."""
    old = id_of(days_ago(days))
    async with alerting.database.begin() as tx:
        await tx.execute(sa.update(alerts).values(id=old, changed_at=days_ago(days)))
    return old


async def forget(alerting: Alerting) -> int:
    return await let_go(alerting.database, leases, CLASSES)


async def listed(alerting: Alerting) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = (await alerting.get("/v1/alerts"))["items"]
    return items


async def test_an_old_alert_goes_with_the_answers_it_is_about(raised: Alerting) -> None:
    [alert] = await listed(raised)
    assert await outlooks(raised.database, leases, CLASSES) == {"deliveries": 0, "answers": 1}
    assert await forget(raised) == 1
    assert await outlooks(raised.database, leases, CLASSES) == {"deliveries": 0, "answers": 0}
    assert await listed(raised) == []
    await raised.call("GET", f"/v1/alerts/{alert['id']}", expect=404)
    async with raised.database.read() as tx:
        [left] = (await tx.execute(sa.select(past_alerts))).all()
    assert (left.id, left.response, left.rule, left.sequence) == (alert["id"], "r1", "unhappy", 1)


async def test_a_replay_and_an_edit_that_still_matches_raise_nothing(raised: Alerting) -> None:
    sent = await raised.deliveries()
    await forget(raised)
    await raised.handle(received(response()))
    await raised.handle(received(response(score=2, revision=2)))
    await raised.handle(received(response(score=1, revision=3)), received(response(revision=2)))
    assert await raised.deliveries() == sent
    assert {alert["sequence"] for alert in await listed(raised)} == {1}
    assert await forget(raised) == 1
    assert await listed(raised) == []


async def test_what_changes_is_announced_as_the_same_alert(raised: Alerting) -> None:
    [before] = await listed(raised)
    await forget(raised)
    await raised.handle(received(response(score=10, revision=2)))
    [withdrawn] = await listed(raised)
    assert (withdrawn["id"], withdrawn["state"], withdrawn["sequence"]) == (
        before["id"],
        "withdrawn",
        2,
    )
    await raised.handle(received(response(score=0, revision=3)))
    [again] = await listed(raised)
    assert (again["id"], again["state"], again["sequence"]) == (before["id"], "raised", 3)
    types = [each["type"] for each in await raised.deliveries(alert=before["id"])]
    assert sorted(types) == ["alert.raised", "alert.withdrawn"]

    await age(raised)
    await forget(raised)
    await raised.handle(received(response(revision=4, state="deleted", answers=())))
    [last] = await listed(raised)
    assert (last["state"], last["sequence"]) == ("withdrawn", 4)


async def test_young_alerts_stay_and_what_is_broken_off_has_changed_nothing(
    raised: Alerting,
) -> None:
    standing = await listed(raised)
    for one in broken_off(CLASSES):
        if one.name == "answers":
            with pytest.raises(BrokenOffError):
                await let_go(raised.database, leases, [one])
    assert await listed(raised) == standing
    await age(raised, KEPT_DAYS - 2)
    assert await forget(raised) == 0
    assert len(await listed(raised)) == 1
