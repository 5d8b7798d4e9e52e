"""On PostgreSQL a rebuild waits for a handler that holds the roll-up, and the other way round."""

import asyncio

import pytest
import sqlalchemy as sa

from services.scoring.rules import Rollup
from services.scoring.store import rollups
from shared.db import Tx
from tests.integration.scoring.conftest import Scoring
from tests.support import eventually
from tests.unit.scoring.responses import nps, paths, received, response

BLOCKED = sa.text(
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
)


@pytest.fixture
def database_url(postgres_copy: str) -> str:
    """SQLite has one writer, so that there nothing can race."""
    return postgres_copy


class Gate:
    """Holds one transaction open after a step of the store, until it is opened."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.open = asyncio.Event()

    async def __call__(self) -> None:
        self.reached.set()
        await self.open.wait()


async def somebody_waits_for_a_lock(scoring: Scoring) -> bool:
    async with scoring.database.read() as tx:
        return bool((await tx.execute(BLOCKED)).scalar_one())


async def drifted(scoring: Scoring) -> int:
    report: dict[str, int] = (await scoring.rebuild(dry_run=True)).json()
    return report["drifted"]


async def test_a_rebuild_waits_for_a_handler_between_its_hold_and_its_commit(
    scoring: Scoring, monkeypatch: pytest.MonkeyPatch
) -> None:
    await scoring.counting.handle(
        [received(response("r0", nps(9), dimensions=paths(org="cn/1", shop="a")))]
    )
    gate, remember = Gate(), rollups.remember_names

    async def held_open(tx: Tx, facts: object) -> None:
        await gate()
        await remember(tx, facts)  # type: ignore[arg-type]  # what the handler gives

    monkeypatch.setattr(rollups, "remember_names", held_open)
    late = received(response("r1", nps(3), dimensions=paths(org="cn/1", shop="b")))
    handling = asyncio.create_task(scoring.counting.handle([late]))
    await gate.reached.wait()
    rebuilding = asyncio.create_task(scoring.rebuild(dimensions={"shop": None}))
    assert await eventually(lambda: somebody_waits_for_a_lock(scoring))
    assert not rebuilding.done()
    gate.open.set()
    await handling
    answer = await rebuilding
    assert (answer.status_code, answer.json()["facts"]) == (200, 2)
    assert await drifted(scoring) == 0
    assert {
        item["group"]["shop"]: item["n"] for item in await scoring.scores(kind="nps", by="shop")
    } == {
        "a": 1,
        "b": 1,
    }


async def test_a_handler_waits_for_a_rebuild_and_counts_by_its_dimensions(
    scoring: Scoring, monkeypatch: pytest.MonkeyPatch
) -> None:
    await scoring.counting.handle(
        [received(response("r0", nps(9), dimensions=paths(org="cn/1", shop="a")))]
    )
    gate, declare = Gate(), rollups.declare

    async def held_open(tx: Tx, workspace: str, rollup: Rollup) -> None:
        await gate()
        await declare(tx, workspace, rollup)

    monkeypatch.setattr(rollups, "declare", held_open)
    rebuilding = asyncio.create_task(scoring.rebuild(dimensions={"shop": None}))
    await gate.reached.wait()
    late = received(response("r1", nps(3), dimensions=paths(org="cn/1", shop="b")))
    handling = asyncio.create_task(scoring.counting.handle([late]))
    assert await eventually(lambda: somebody_waits_for_a_lock(scoring))
    assert not handling.done()
    gate.open.set()
    assert (await rebuilding).status_code == 200
    await handling
    assert await drifted(scoring) == 0
    assert sum(item["n"] for item in await scoring.scores(kind="nps", by="shop")) == 2
