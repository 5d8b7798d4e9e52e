"""Rebuilding on both databases: drift is found and mended, dimensions come and go, nobody counts twice."""

import asyncio
from typing import Any

import pytest
import sqlalchemy as sa

from services.scoring import tables
from services.scoring.api import rebuild
from shared.errors import Unavailable
from tests.integration.scoring.conftest import Scoring
from tests.unit.scoring.responses import chose, deleted, nps, paths, received, response


@pytest.fixture
async def told(scoring: Scoring) -> Scoring:
    """Ten responses in two stores by two tiers, one of them edited, one deleted."""
    batch = [
        response(
            f"r{i}",
            nps(i),
            chose("price"),
            dimensions=paths(org=f"cn/{i % 2}", employee="li"),
            data={"lane": i % 3},
            customer={"tier": "gold" if i < 5 else "basic"},
        )
        for i in range(10)
    ]
    batch += [response("r0", nps(10), revision=2, customer={"tier": "gold"}), deleted("r9", 2)]
    await scoring.counting.handle([received(message) for message in batch])
    return scoring


async def rebuilt(scoring: Scoring, workspace: str = "acme", **body: Any) -> dict[str, Any]:
    answer = await scoring.rebuild(workspace, **body)
    assert answer.status_code == 200, answer.text
    report: dict[str, Any] = answer.json()
    return report


async def cells(scoring: Scoring) -> dict[str, int]:
    async with scoring.database.read() as tx:
        rows = await tx.execute(sa.select(tables.cells.c.id, tables.cells.c.n))
        return {row.id: row.n for row in rows}


async def test_right_cells_are_left_as_they_are(told: Scoring) -> None:
    before = {id: n for id, n in (await cells(told)).items() if n}
    report = await rebuilt(told)
    assert (report["drifted"], report["drift"], report["facts"]) == (0, [], 10)
    assert report["dimensions"] == {"org": None, "product": None}
    assert await cells(told) == before
    assert report["cells"] == len(before)


async def test_drift_is_reported_by_cell_and_mended(told: Scoring) -> None:
    await rebuilt(told)
    right = await cells(told)
    wrong, missing, *_ = sorted(right)
    async with told.database.begin() as tx:
        c = tables.cells.c
        await tx.execute(sa.update(tables.cells).where(c.id == wrong).values(n=c.n + 5))
        await tx.execute(sa.delete(tables.cells).where(c.id == missing))
        extra = sa.select(*(c[name] for name in c.keys() if name != "id"), sa.literal("f" * 32))  # noqa: SIM118
        names = [name for name in c.keys() if name != "id"] + ["id"]  # noqa: SIM118
        await tx.execute(sa.insert(tables.cells).from_select(names, extra.where(c.id == wrong)))

    looked = await rebuilt(told, dry_run=True)
    assert looked["drift"] == [
        {"id": wrong, "stored": right[wrong] + 5, "right": right[wrong]},
        {"id": missing, "stored": 0, "right": right[missing]},
        {"id": "f" * 32, "stored": right[wrong] + 5, "right": 0},
    ]
    assert await cells(told) != right
    assert (await rebuilt(told))["drifted"] == 3
    assert await cells(told) == right
    assert (await rebuilt(told))["drifted"] == 0


async def test_a_new_dimension_holds_for_what_was_and_what_comes(told: Scoring) -> None:
    report = await rebuilt(told, dimensions={"tier": "customer.tier", "lane": "data.lane"})
    assert report["dimensions"]["tier"] == "customer.tier"
    assert report["drifted"] == 0
    late = [
        response("new", nps(10), customer={"tier": "gold"}),
        response("r1", nps(0), revision=2, customer={"tier": "basic"}),
    ]
    await told.counting.handle([received(message) for message in late])
    by_tier = await told.scores(kind="nps", by="tier")
    assert [(item["group"]["tier"], item["n"]) for item in by_tier] == [("basic", 5), ("gold", 5)]
    from_facts = await told.scores(kind="nps", by=["tier", "employee"])
    assert sum(item["n"] for item in from_facts) == 10
    lanes = await told.scores(kind="nps", by="lane")
    assert [item["group"]["lane"] for item in lanes] == [None, "0", "1", "2"]
    assert (await rebuilt(told))["drifted"] == 0


async def test_a_dimension_that_responses_bring_can_be_rolled_up_and_dropped(told: Scoring) -> None:
    asked: dict[str, Any] = {"kind": "nps", "by": ["employee", "org"]}
    from_facts = await told.scores(**asked)
    await rebuilt(told, dimensions={"employee": None})
    assert await told.scores(**asked) == from_facts
    report = await rebuilt(told, remove=["employee", "org"])
    assert report["dimensions"] == {"product": None}
    assert await told.scores(**asked) == from_facts
    assert (await rebuilt(told))["drifted"] == 0


async def test_a_dry_run_changes_nothing(told: Scoring) -> None:
    before = await cells(told)
    report = await rebuilt(told, dimensions={"tier": "customer.tier"}, dry_run=True)
    assert report["dry_run"] is True
    assert await cells(told) == before
    assert (await told.get("/v1/scores?kind=nps&by=tier")).status_code == 422


async def test_a_rebuild_concerns_the_callers_workspace_alone(told: Scoring) -> None:
    await told.counting.handle([received(response("r0", nps(1)), "other")])
    async with told.database.begin() as tx:
        await tx.execute(sa.update(tables.cells).values(n=tables.cells.c.n + 1))
    assert (await rebuilt(told, "other", dimensions={"tier": "customer.tier"}))["facts"] == 1
    assert (await told.get("/v1/scores?kind=nps&by=tier")).status_code == 422
    assert (await rebuilt(told))["drifted"] > 1


async def test_counting_goes_on_during_a_rebuild(
    told: Scoring, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rebuild, "_PAGE", 3)

    async def count(number: int) -> None:
        said = [
            received(response(f"n{number}-{i}", nps(9), customer={"tier": "gold"}))
            for i in range(20)
        ]
        while True:
            try:
                return await told.counting.handle(said)
            except Unavailable:
                continue

    await asyncio.gather(
        count(0),
        rebuilt(told, dimensions={"tier": "customer.tier"}),
        count(1),
        rebuilt(told, remove=["org"]),
        count(2),
        count(0),
    )
    [gold] = [
        item for item in await told.scores(kind="nps", by="tier") if item["group"]["tier"] == "gold"
    ]
    assert gold["n"] == 65
    assert (await rebuilt(told))["drifted"] == 0


async def test_a_wrong_rebuild_is_refused_by_field(told: Scoring) -> None:
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"dimensions": {"tier": "answers.recommend"}}, "dimensions.tier"),
        ({"dimensions": {"tier": "customer"}}, "dimensions.tier"),
        ({"dimensions": {"tier": ""}}, "dimensions.tier"),
        ({"dimensions": {"colour": None}}, "dimensions.colour"),
        ({"dimensions": {"day": "data.day"}}, "dimensions.day"),
        ({"dimensions": {f"d{i}": f"data.d{i}" for i in range(7)}}, "dimensions"),
        ({"remove": ["tier"]}, "remove[0]"),
        ({"dry_run": "no"}, "dry_run"),
        ({"dryrun": True}, "dryrun"),
    ]
    before = await cells(told)
    for body, at in wrong:
        answer = await told.rebuild(**body)
        assert answer.status_code == 422, (body, answer.text)
        assert answer.json()["errors"][0]["at"] == at, body
    assert await cells(told) == before
    assert (await told.client.post("/v1/operations/scoring/rebuild", json={})).status_code == 401
