"""An event becomes decisions and invitations, once, on both databases."""

import json
from typing import Any

from tests.integration.trigger.conftest import Bench


async def test_an_event_becomes_an_invitation_that_is_announced(bench: Bench) -> None:
    await bench.trigger(when={"path": "data.amount", "gt": 5}, dimensions={"org": "data.store", "brand": {"value": "acme"}})
    await bench.handlers.events([bench.event(data={"amount": 10, "store": "12"})])
    (decision,) = await bench.rows("decisions")
    (invitation,) = await bench.rows("invitations")
    assert (decision.outcome, decision.invitation) == ("invited", invitation.id)
    assert (invitation.state, invitation.revision) == ("sent", 1)
    announced = [row for row in await bench.rows("outbox") if row.topic == "invitations"]
    message: dict[str, Any] = json.loads(announced[0].value)["data"]
    assert bytes(announced[0].key) == b"acme/ann"
    assert message["link"].startswith("https://ask.example/s/")
    assert message["dimensions"] == {"org": {"value": "12", "path": "12"}, "brand": {"value": "acme", "path": "acme"}}
    assert message["transaction"]["data"] == {"amount": 10, "store": "12"}
