"""A dispatcher killed at each step of a delivery: what it held is delivered by the next one, same id, same body."""

import asyncio
import os
import signal
import sys
from datetime import UTC, datetime, timedelta

import pytest
from standardwebhooks import Webhook

from tests.integration.alerting.conftest import Alerting
from tests.integration.alerting.receivers import receiving
from tests.support import TOKEN_KEYS
from tests.unit.alerting.responses import received, response

DISPATCH = """
import asyncio, sys
from services.alerting.dispatch import Dispatcher
from services.alerting.settings import Settings
from shared.db import open_database
from shared.webhook.client import WebhookClient

async def main():
    settings = Settings()
    async with (
        open_database(settings.database_url, "alerting") as database,
        WebhookClient.open(allow_loopback=True) as client,
    ):
        database.gate = None
        await Dispatcher(database, client, settings, lambda: 0.5).run(asyncio.Event())

asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("point", "arrived"), [("dispatch.after_claim", 0), ("dispatch.after_send", 1)]
)
async def test_a_killed_dispatcher_loses_nothing(
    alerting: Alerting, point: str, arrived: int
) -> None:
    async with receiving() as receiver:
        await alerting.put_rule()
        await alerting.put_endpoint(receiver.url)
        await alerting.handle(received(response()))
        settings = alerting.settings
        environment = os.environ | {
            "AFTERWORD_CRASH_AT": point,
            "AFTERWORD_LOG_URL": settings.log_url,
            "AFTERWORD_DATABASE_URL": settings.database_url,
            "AFTERWORD_ACCESS_FILE": str(settings.access_file),
            "AFTERWORD_TOKEN_KEYS": TOKEN_KEYS,
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", DISPATCH, env=environment
        )
        assert await asyncio.wait_for(process.wait(), 60) == -signal.SIGKILL
        assert len(receiver.requests) == arrived
        [delivery] = await alerting.deliveries()
        assert (delivery["state"], delivery["attempts"]) == ("pending", 0)

        past = datetime.now(UTC) - timedelta(seconds=1)
        await alerting.make_due(leased_until=past)
        async with alerting.dispatching():
            await alerting.settled("delivered")

    assert len(receiver.requests) == arrived + 1
    assert {request.webhook_id for request in receiver.requests} == {delivery["webhook_id"]}
    assert len({request.body for request in receiver.requests}) == 1
    secret = await alerting.secret()
    for request in receiver.requests:
        Webhook(secret).verify(request.body, request.headers)
