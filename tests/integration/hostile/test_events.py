"""A flood of one event: taken in as often as it comes, decided and invited once, and others are served meanwhile."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from services.cli.dev import open_embedded, prepare
from tests.e2e import scenario
from tests.integration.hostile.house import URL
from tests.support import working

TIMES = 10_000
BATCH = 1_000


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """The whole system with its loops running, and a key to it."""
    keys = prepare(tmp_path / "data", {"acme": {}})
    async with (
        open_embedded(tmp_path / "data", URL) as system,
        working(*system.services),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app=system.origin),
            base_url=URL,
            headers={"authorization": f"Bearer {keys['acme']}"},
        ) as opened,
    ):
        yield opened


async def test_ten_thousand_times_the_same_event_ask_once(client: httpx.AsyncClient) -> None:
    await scenario.define(client)
    flooded = scenario.purchase(1, "flooded")
    waits: list[float] = []
    for _ in range(TIMES // BATCH):
        answer, wait = await asyncio.gather(
            scenario.post_event(client, *[flooded] * BATCH), _seconds(client)
        )
        assert answer.json() == {"accepted": BATCH}
        waits.append(wait)
    after = scenario.purchase(2, "flooded")
    assert (await scenario.post_event(client, after)).status_code == 202
    await scenario.decisions(client, after)  # of the same customer, so it comes after the flood
    assert [each["outcome"] for each in await scenario.decisions(client, flooded)] == ["invited"]
    assert len(await scenario.invitations(client, flooded)) == 1
    every = (await client.get("/v1/decisions", params={"customer": "flooded"})).json()["items"]
    assert len(every) == 2
    assert max(waits) < 3.0


async def _seconds(client: httpx.AsyncClient) -> float:
    """How long another request takes."""
    started = time.monotonic()
    assert (await client.get("/v1/surveys")).status_code == 200
    return time.monotonic() - started
