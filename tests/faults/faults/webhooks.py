"""What can happen between alerting and the receiver of its webhooks.

Finds a build that gives up early or silently, forgets what failed, sends a replay under another name or body, or signs
with a secret that its receiver does not have.
"""

import asyncio
import random
from datetime import UTC, datetime, timedelta
from typing import Any

from shared.webhook.schedule import RETRY_SCHEDULE
from tests.e2e.receiver import Request
from tests.faults.distributed import Distributed
from tests.faults.laboratory import after
from tests.faults.seeing import secrets_of
from tests.faults.signatures import genuine
from tests.support import eventually

_ENOUGH = 5
_ROTATIONS = 3
_HURRY = """UPDATE alerting.deliveries SET due_at = clock_timestamp()
WHERE workspace = $1 AND state = 'pending' AND due_at > clock_timestamp()"""
_TRIED_IN_VAIN = """SELECT count(*) FROM alerting.deliveries
WHERE workspace = $1 AND state IN ('pending', 'failed') AND attempts > 0"""


async def schedule_exhausted(lab: Distributed, rng: random.Random) -> None:
    """The receiver is down for longer than the whole schedule: 75 hours that pass in seconds, because the database is
    told that what waits is due. What has failed is replayed one by one and by a span of time, each twice."""
    client = lab.workload.client
    lab.receiver.status = 500
    try:
        await eventually(lambda: _failed(lab), seconds=120, every=0.2, what="failed deliveries")
    finally:
        lab.receiver.status = 204
    failed = await _deliveries(lab, "failed")
    for delivery in failed:
        spent = (delivery["attempts"], delivery["reason"])
        assert spent == (len(RETRY_SCHEDULE), "exhausted"), f"{delivery['id']} failed after {spent}"
    one = f"/v1/deliveries/{failed[0]['id']}/replay"
    answers = await asyncio.gather(client.post(one), client.post(one))
    span = {
        "from": (datetime.now(UTC) - timedelta(days=1)).isoformat(),
        "to": (datetime.now(UTC) + timedelta(days=1)).isoformat(),
    }
    again = [await client.post("/v1/endpoints/crm/replay", json=span) for _ in range(2)]
    assert {answer.status_code for answer in (*answers, *again)} == {202}

    async def delivered() -> bool:
        await _hurry(lab)
        async with lab.sql() as connection:
            return not await connection.fetchval(_TRIED_IN_VAIN, lab.workspace_name)

    await eventually(delivered, seconds=60, every=0.3, what="what was replayed, or waited")


async def secrets_rotated(lab: Distributed, rng: random.Random) -> None:
    """The secret changes under load: who has the old one verifies everything, and at once who has the new one."""
    client = lab.workload.client
    old = (await secrets_of(client, "crm"))[0]
    begun = len(lab.receiver.requests)
    for _ in range(_ROTATIONS):
        answer = await client.post("/v1/endpoints/crm/secret/rotate")
        new = answer.json()["secret"]
        await after(rng.uniform(0.2, 1.5))
        ping = (await client.post("/v1/endpoints/crm/test")).json()["webhook_id"]
        arrived = await eventually(lambda id=ping: _arrived(lab, id), what="a ping")  # type: ignore[misc]
        assert genuine([new], arrived), "the new secret does not verify what came after it"
    for request in lab.receiver.requests[begun:]:
        assert genuine([old], request), "the old secret does not verify what came within its day"


async def _failed(lab: Distributed) -> bool:
    await _hurry(lab)
    return len(await _deliveries(lab, "failed")) >= _ENOUGH


async def _hurry(lab: Distributed) -> None:
    async with lab.sql() as connection:
        await connection.execute(_HURRY, lab.workspace_name)


async def _deliveries(lab: Distributed, state: str) -> list[dict[str, Any]]:
    params = {"endpoint": "crm", "state": state, "limit": "500"}
    answer = await lab.workload.client.get("/v1/deliveries", params=params)
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


async def _arrived(lab: Distributed, id: str) -> Request | None:
    return next((r for r in lab.receiver.requests if r.headers["webhook-id"] == id), None)
