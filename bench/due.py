"""Deliveries that are due, stored as the judge of responses stores them, with bodies like its own."""

import time
from datetime import UTC, datetime

import msgspec

from bench.responses import responses
from services.alerting.rules.judging import Alert, Announcement, body_of
from services.alerting.store.deliveries import NewMessage, add_deliveries
from services.cli.dev import WORKSPACE
from shared.contracts.messages import ResponseChanged
from shared.db import open_database


async def make_due(url: str, endpoints: int, count: int) -> None:
    """Store that many new messages, each with a delivery to one of the endpoints e0, e1, ... in turn."""
    at = datetime.now(UTC)
    fill = time.time_ns()
    messages = [_message(f"{fill}-{n}", one, at) for n, one in enumerate(responses(0, count))]
    pairs = [(message, [f"e{n % endpoints}"]) for n, message in enumerate(messages)]
    async with open_database(url, "alerting") as database:
        database.gate = None
        async with database.begin() as tx:
            await add_deliveries(tx, pairs, at)


def _message(id: str, response: ResponseChanged, at: datetime) -> NewMessage:
    alert = Alert(WORKSPACE, id, "unhappy", response, 1, "raised", 1, "normal", at, at)
    announcement = Announcement(alert, {"en": "Unhappy"}, None)
    body = msgspec.json.encode(body_of(announcement))
    return NewMessage(WORKSPACE, announcement.message_id, id, 1, announcement.type, body)
