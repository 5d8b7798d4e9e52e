"""An endpoint that is deleted while something new is put in its queue: nothing is left that is never sent."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from services.alerting.store import deliveries as store
from tests.integration.alerting.conftest import Alerting
from tests.unit.alerting.responses import received, response


@pytest.fixture
def database_url(postgres_copy: str) -> str:
    """SQLite has one writer, so that there nothing can race."""
    return postgres_copy


class Gate:
    """Stops in front of a statement until it is opened."""

    def __init__(self, behind: Callable[..., Awaitable[Any]]) -> None:
        self.reached = asyncio.Event()
        self.open = asyncio.Event()
        self._behind = behind

    async def __call__(self, *arguments: Any) -> Any:
        self.reached.set()
        await self.open.wait()
        return await self._behind(*arguments)


@pytest.mark.parametrize(
    ("statement", "path"),
    [
        ("replay_one", "/v1/deliveries/{id}/replay"),
        ("replay_failed", "/v1/endpoints/crm/replay"),
        ("add_deliveries", "/v1/endpoints/crm/test"),
    ],
)
async def test_a_delivery_made_due_while_its_endpoint_is_deleted_is_cancelled(
    alerting: Alerting, monkeypatch: pytest.MonkeyPatch, statement: str, path: str
) -> None:
    await alerting.put_rule()
    await alerting.put_endpoint("http://127.0.0.1:9009/hook")
    await alerting.handle(received(response("r1")))
    [delivery] = await alerting.deliveries()
    gate = Gate(getattr(store, statement))
    monkeypatch.setattr(store, statement, gate)
    span = {"from": "2026-01-01T00:00:00Z", "to": "2100-01-01T00:00:00Z"}
    asking = asyncio.create_task(
        alerting.call("POST", path.format(id=delivery["id"]), json=span, expect=202)
    )
    await gate.reached.wait()
    deleting = asyncio.create_task(alerting.call("DELETE", "/v1/endpoints/crm"))
    done, _ = await asyncio.wait({deleting}, timeout=0.5)
    gate.open.set()
    await asking
    assert (await deleting).is_success
    assert not done, "deleted while something was put in its queue"
    assert await alerting.deliveries(state="pending") == []
