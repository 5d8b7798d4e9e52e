"""An older database of alerting: alerts that were announced come back once, and never those that were let go of."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import pytest
import sqlalchemy as sa
from msgspec.structs import replace

from services.alerting.main import open_service
from services.alerting.restores import RESTORES
from services.alerting.tables import alerts
from shared.auth import Access
from shared.contracts.envelope import Received
from shared.contracts.messages import AlertRaised
from shared.contracts.topics import Topic
from shared.errors import Unavailable
from shared.log import Lag, Log, TopicPartition
from tests.integration.alerting.conftest import Alerting, running
from tests.integration.alerting.test_past_alerts import KEPT_DAYS, age, forget, listed
from tests.integration.announced import announced
from tests.support import eventually
from tests.unit.alerting.responses import received, response


@pytest.fixture
async def told(alerting: Alerting) -> Alerting:
    """With an endpoint, and one alert of long ago that was announced."""
    await alerting.put_rule()
    await alerting.put_endpoint("http://127.0.0.1:9999/hook")
    await alerting.handle(received(response()))
    return alerting


async def restore(alerting: Alerting, batch: list[Received[Any]]) -> int:
    async with alerting.database.begin() as tx:
        return await RESTORES[Topic.ALERTS](tx, batch)


async def lose(alerting: Alerting) -> None:
    async with alerting.database.begin() as tx:
        for table in ("alerts", "past_alerts", "judged", "deliveries", "messages", "outbox"):
            await tx.execute(sa.text(f"DELETE FROM {table}"))


async def test_an_alert_comes_back_as_it_was_and_is_told_once_more(told: Alerting) -> None:
    batch = await announced(told.database, AlertRaised)
    [before] = await listed(told)
    [sent] = await told.deliveries()
    await lose(told)
    assert await restore(told, batch) == 1
    assert await restore(told, batch) == 0
    [after] = await listed(told)
    assert (after["id"], after["sequence"], after["response"]) == (
        before["id"],
        before["sequence"],
        before["response"],
    )
    [again] = await told.deliveries()
    assert again["webhook_id"] == sent["webhook_id"]
    assert await announced(told.database, AlertRaised) == [], "the log has it"


async def let_go_as_announced(alerting: Alerting) -> list[Received[Any]]:
    """What was announced of the alert, which is old by then and let go of: a log that is kept for longer than answers
    says it yet."""
    old = await age(alerting)
    batch = [
        replace(each, message=each.message.model_copy(update={"id": old}))
        for each in await announced(alerting.database, AlertRaised)
    ]
    assert await forget(alerting) == 1
    return batch


async def test_one_that_was_let_go_of_is_neither_restored_nor_told_again(told: Alerting) -> None:
    batch = await let_go_as_announced(told)
    sent = await told.deliveries()
    assert await restore(told, batch) == 0
    assert await listed(told) == []
    assert await told.deliveries() == sent


async def test_what_was_said_since_of_one_that_was_let_go_of_is_restored(told: Alerting) -> None:
    [first] = await let_go_as_announced(told)
    told_before = {each["id"] for each in await told.deliveries()}
    later = first.message.model_copy(
        update={
            "revision": 2,
            "response": first.message.response.model_copy(update={"revision": 2}),
        }
    )
    assert await restore(told, [first, replace(first, message=later)]) == 1
    [alert] = await listed(told)
    assert (alert["id"], alert["sequence"]) == (later.id, 2)
    [more] = [each for each in await told.deliveries() if each["id"] not in told_before]
    assert more["webhook_id"] == f"{later.id}-2"
    await told.handle(received(response(score=2, revision=2)))
    assert {each["sequence"] for each in await listed(told)} == {2}
    async with told.database.read() as tx:
        assert len((await tx.execute(sa.select(alerts.c.id))).all()) == 1


class Away:
    """A log that cannot be asked how far a group is, until it is there."""

    def __init__(self, inner: Log) -> None:
        self._inner = inner
        self.there = False
        self.asked = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def lag(self, group: str, topics: Sequence[str]) -> Mapping[TopicPartition, Lag]:
        if not self.there:
            self.asked += 1
            raise Unavailable("the log is away")
        return await self._inner.lag(group, topics)


async def test_nothing_is_let_go_of_before_the_log_was_asked(alerting: Alerting) -> None:
    await alerting.put_rule()
    await alerting.handle(received(response()))
    await age(alerting)
    away = Away(alerting.log)
    settings = alerting.settings.model_copy(update={"retain_answers_days": KEPT_DAYS})
    access = Access.load(settings.access_file)
    async with (
        open_service(settings, cast(Log, away), access) as service,
        running(service.work),
    ):

        async def given_up_often() -> bool:
            return away.asked > 3 and not service.health.comparing

        await eventually(given_up_often, what="comparing with a log that is away")
        assert len(await listed(alerting)) == 1
        away.there = True

        async def gone() -> bool:
            return not await listed(alerting)

        await eventually(gone, what="letting go, now that the database is as new as the log")


async def test_where_another_alert_was_raised_meanwhile_that_one_stands(told: Alerting) -> None:
    """As when the database fell back under a process that went on, and was compared only when that was restarted."""
    batch = await announced(told.database, AlertRaised)
    await lose(told)
    await told.handle(received(response(score=2, revision=2)))
    [other] = await listed(told)
    sent = await told.deliveries()
    assert other["id"] != batch[0].message.id
    assert await restore(told, batch) == 0
    assert [alert["id"] for alert in await listed(told)] == [other["id"]]
    assert await told.deliveries() == sent
