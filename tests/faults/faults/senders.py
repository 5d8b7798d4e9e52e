"""The sender of a channel, killed before and after its call.

Finds a build that forgets an invitation which it had begun to hand over, or hands it over again under another name, with
another link or with other bytes, so that the business system cannot know it again.
"""

import json
import random
from collections import defaultdict

from shared.crash import Point
from tests.e2e.scenario import DEFINITIONS
from tests.faults.distributed import Distributed, Fault
from tests.faults.faults.services import crash
from tests.support import eventually

_CHANNEL = "shop"
_TRIGGER = "/v1/triggers/after-purchase"
_HANDED = {"sent", "answered"}


def sender_killed(point: Point) -> Fault:
    """Links go to a business system instead of waiting to be read."""

    async def fault(lab: Distributed, rng: random.Random) -> None:
        documents = {
            f"/v1/channels/{_CHANNEL}": {"type": "webhook", "url": lab.receiver.url},
            _TRIGGER: DEFINITIONS[_TRIGGER] | {"channel": _CHANNEL},
        }
        for path, document in documents.items():
            answer = await lab.workload.client.put(path, json=document)
            assert answer.is_success, answer.text
        await crash(lab, "trigger", point, rng.randint(1, 4))
        await eventually(
            lambda: _some_handed(lab), seconds=60, every=0.3, what="a link handed over"
        )

    return fault


async def _some_handed(lab: Distributed) -> bool:
    """Whether any is; fails when one came in two shapes, or counts as sent and never came."""
    made = await lab.workload.all_of("/v1/invitations")
    sent = {i["id"] for i in made if i["channel"] == _CHANNEL and i["state"] in _HANDED}
    came: dict[str, set[bytes]] = defaultdict(set)
    for request in lab.receiver.requests:
        document = json.loads(request.body)
        if document["type"] == "invitation.made":
            id = document["data"]["invitation"]["id"]
            assert request.headers["webhook-id"] == id
            came[id].add(request.body)
    for id, bodies in came.items():
        assert len(bodies) == 1, f"invitation {id} was handed over in {len(bodies)} shapes"
    assert sent <= came.keys(), f"{len(sent - came.keys())} were sent and never came"
    return bool(sent)
