"""What single responses said is let go of, on both databases: scores stay, and nothing counts twice or is lost."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from services.scoring import tables
from services.scoring.main import SCHEMA
from services.scoring.store.retention import kept
from shared.contracts.messages import ResponseChanged
from shared.db import Database, insert, open_database
from shared.errors import Unavailable
from shared.kept_days import COMES_BACK_DAYS
from shared.schema import migrate
from tests.integration.letting_go import (
    BrokenOffError,
    broken_off,
    killed_while_letting_go,
    lapse,
    let_go,
    outlooks,
)
from tests.integration.older import schema_at
from tests.integration.scoring.conftest import Scoring
from tests.support import days_ago
from tests.unit.scoring.responses import DAY, chose, deleted, nps, paths, received, response

KEPT_DAYS = 50
CLASSES = kept(KEPT_DAYS, ("org", "product"))
OLD = days_ago(KEPT_DAYS + COMES_BACK_DAYS + 2)
YOUNG = days_ago(KEPT_DAYS + COMES_BACK_DAYS - 2)
EARLIER = DAY - timedelta(days=100)


def said(id: str, value: int, **more: Any) -> ResponseChanged:
    """An answer in one of two stores, of an employee and of a tier, which no cell keeps apart."""
    number = int(id[1:])
    return response(
        id,
        nps(value),
        chose("price"),
        dimensions=paths(org=f"cn/{number % 2}", employee="li"),
        customer={"tier": "gold" if number < 3 else "basic"},
        **more,
    )


async def told(scoring: Scoring, *messages: ResponseChanged, workspace: str = "acme") -> None:
    await scoring.counting.handle([received(message, workspace) for message in messages])


@pytest.fixture
async def aged(scoring: Scoring) -> Scoring:
    """Six old responses of a hundred days ago and four young ones of now; one more is deleted."""
    old = [said(f"r{i}", i, changed_at=OLD, day=EARLIER) for i in range(6)]
    young = [said(f"r{i}", i, changed_at=YOUNG) for i in range(6, 10)]
    gone = [said("r10", 10, changed_at=OLD, day=EARLIER), deleted("r10", 2)]
    await told(scoring, *old, *young, *gone)
    return scoring


async def forget(scoring: Scoring) -> int:
    return await let_go(scoring.database, tables.leases, CLASSES)


async def stored(scoring: Scoring) -> dict[str, list[Any]]:
    """Every row of every table but the leases."""
    async with scoring.database.read() as tx:
        return {
            table.name: sorted(map(repr, (await tx.execute(sa.select(table))).all()))
            for table in tables.metadata.sorted_tables
            if table is not tables.leases
        }


async def rebuilt(scoring: Scoring, **body: Any) -> dict[str, Any]:
    answer = await scoring.rebuild(**body)
    assert answer.status_code == 200, answer.text
    report: dict[str, Any] = answer.json()
    return report


async def test_scores_stay_when_what_was_said_goes(aged: Scoring) -> None:
    asked: list[dict[str, Any]] = [
        {"kind": "nps"},
        {"kind": "choice", "by": "org"},
        {"survey": "buy", "by": ["day", "org"]},
    ]
    before = [await aged.scores(**each) for each in asked]
    assert await outlooks(aged.database, tables.leases, CLASSES) == {"answers": 6}
    assert await forget(aged) == 6
    assert await outlooks(aged.database, tables.leases, CLASSES) == {"answers": 0}
    assert [await aged.scores(**each) for each in asked] == before
    async with aged.database.read() as tx:
        facts = (await tx.execute(sa.select(tables.facts))).all()
        answers = set((await tx.execute(sa.select(tables.answers.c.response))).scalars())
    left = {row.response: row for row in facts if row.state == "forgotten"}
    assert set(left) == {f"r{i}" for i in range(6)}
    for row in left.values():
        assert (row.revision, row.customer, row.dimensions, row.derived) == (1, None, {}, {})
        assert (row.transaction_was, row.customer_was) == (None, None)
    assert answers == {f"r{i}" for i in range(6, 10)}


async def test_a_forgotten_response_counts_once_whatever_comes_of_it(aged: Scoring) -> None:
    before = await aged.scores(kind="nps")
    await forget(aged)
    standing = await stored(aged)
    await told(aged, said("r0", 0, changed_at=OLD, day=EARLIER))
    await told(aged, said("r1", 10, revision=2), deleted("r2", 3), said("r2", 2, revision=2))
    assert await aged.scores(kind="nps") == before
    assert await stored(aged) == standing
    await told(aged, said("r7", 0, revision=2), said("r11", 9))
    assert (await aged.scores(kind="nps"))[0]["n"] == 11
    assert (await rebuilt(aged, dry_run=True))["drifted"] == 0


async def test_a_rebuild_takes_over_what_no_fact_says_any_longer(aged: Scoring) -> None:
    before = await aged.scores(kind="nps", by="org")
    await forget(aged)
    report = await rebuilt(aged)
    assert (report["facts"], report["drifted"], report["forgotten"]) == (5, 0, 18)
    assert await aged.scores(kind="nps", by="org") == before

    async with aged.database.begin() as tx:
        await tx.execute(sa.update(tables.cells).values(n=tables.cells.c.n + 1))
    assert (await rebuilt(aged))["drifted"] > 0
    assert await aged.scores(kind="nps", by="org") == before


async def test_a_rebuild_by_other_dimensions_loses_no_count(aged: Scoring) -> None:
    [whole] = await aged.scores(kind="nps")
    await forget(aged)
    await rebuilt(aged, dimensions={"tier": "customer.tier"}, remove=["product"])
    assert await aged.scores(kind="nps") == [whole]
    by_tier = await aged.scores(kind="nps", by="tier")
    assert [(item["group"]["tier"], item["n"]) for item in by_tier] == [(None, 6), ("basic", 4)]
    by_org = await aged.scores(kind="nps", by="org")
    assert [(item["group"]["org"], item["n"]) for item in by_org] == [("cn/0", 5), ("cn/1", 5)]
    # Of another path the same name would mean two things.
    for path in ("data.tier", "customer.tier", "data.tier"):
        report = await rebuilt(aged, dimensions={"tier": path}, remove=[])
        assert report["forgotten"] == 18
        assert await aged.scores(kind="nps") == [whole]
        assert (await rebuilt(aged))["drifted"] == 0
    await rebuilt(aged, remove=["org"])
    await told(aged, said("r6", 6, revision=2), deleted("r8", 2))
    assert (await rebuilt(aged, dimensions={"org": None}))["drifted"] == 0
    by_org = await aged.scores(kind="nps", by="org")
    assert [(item["group"]["org"], item["n"]) for item in by_org] == [
        (None, 6),
        ("cn/0", 1),
        ("cn/1", 2),
    ]


async def test_single_answers_that_are_gone_make_no_second_number(aged: Scoring) -> None:
    asked = {"kind": "nps", "by": "employee"}
    assert (await aged.scores(**asked))[0]["n"] == 10
    await forget(aged)
    refused = await aged.get("/v1/scores", **asked)
    assert refused.status_code == 422
    [error] = refused.json()["errors"]
    since = EARLIER + timedelta(days=1)
    assert error["at"] == "from"
    assert str(EARLIER) in error["message"]
    assert f"from={since}" in error["expected"]
    [item] = await aged.scores(**asked, **{"from": since.isoformat()})
    assert item["n"] == 4
    assert await aged.scores(**asked, survey="other") == []


async def test_facts_outlive_the_answers_they_are_of(scoring: Scoring) -> None:
    """What ingest says last of an answer, that it was deleted, finds what is to be taken back."""
    last = days_ago(KEPT_DAYS + 1)
    await told(scoring, said("r1", 3, changed_at=last))
    assert await forget(scoring) == 0
    await told(scoring, deleted("r1", 2))
    assert await scoring.scores(kind="nps") == []


async def test_each_workspace_is_forgotten_by_its_own_dimensions(scoring: Scoring) -> None:
    for workspace in ("acme", "other"):
        await told(scoring, said("r1", 3, changed_at=OLD), workspace=workspace)
    await rebuilt(scoring, dimensions={"employee": None}, remove=["org", "product"])
    assert await forget(scoring) == 2
    assert [item["n"] for item in await scoring.scores(kind="nps", by="employee")] == [1]
    assert [item["n"] for item in await scoring.scores("other", kind="nps", by="org")] == [1]
    assert (await rebuilt(scoring))["drifted"] == 0


async def test_forgetting_counting_and_rebuilding_at_once(aged: Scoring) -> None:
    async def count(revision: int) -> None:
        again = [said(f"r{i}", 10 - i, revision=revision, changed_at=OLD) for i in range(10)]
        while True:
            try:
                return await told(aged, *again)
            except Unavailable:
                continue

    await asyncio.gather(count(2), forget(aged), rebuilt(aged), count(3), rebuilt(aged), count(2))
    assert (await aged.scores(kind="nps"))[0]["n"] == 10
    assert (await rebuilt(aged))["drifted"] == 0
    await forget(aged)
    assert (await aged.scores(kind="nps"))[0]["n"] == 10
    assert (await rebuilt(aged))["drifted"] == 0


async def test_for_ever_is_for_ever(aged: Scoring) -> None:
    for_ever = kept(0, ("org", "product"))
    assert await let_go(aged.database, tables.leases, for_ever) == 0
    assert await outlooks(aged.database, tables.leases, for_ever) == {"answers": 0}


async def test_what_is_broken_off_has_changed_nothing_and_is_done_next_time(aged: Scoring) -> None:
    before = await stored(aged)
    with pytest.raises(BrokenOffError):
        await let_go(aged.database, tables.leases, broken_off(CLASSES))
    assert await stored(aged) == before
    assert await forget(aged) == 6


async def test_a_kill_in_the_middle_is_harmless(aged: Scoring, database_url: str) -> None:
    before = await stored(aged)
    await killed_while_letting_go("scoring", database_url, f'[{KEPT_DAYS}, ["org", "product"]]')
    assert await stored(aged) == before
    await lapse(aged.database, tables.leases)
    assert await forget(aged) == 6
    assert (await rebuilt(aged))["drifted"] == 0


async def test_facts_of_before_are_as_old_as_the_migration(
    empty_database_url: str, tmp_path: Path
) -> None:
    """And those that code of before writes meanwhile."""
    async with open_database(empty_database_url, "scoring") as database:
        await migrate(database, schema_at(SCHEMA, "0002", tmp_path))
        began = datetime.now(UTC) - timedelta(seconds=1)
        await write_as_before(database, "r1")
        await migrate(database, SCHEMA)
        await write_as_before(database, "r2")
        async with database.migrating() as tx:
            found = (await tx.execute(sa.select(tables.facts.c.changed_at))).scalars().all()
    assert len(found) == 2
    assert all(began <= at <= datetime.now(UTC) for at in found)


async def write_as_before(database: Database, id: str) -> None:
    columns = {"workspace": "acme", "response": id, "revision": 1, "state": "submitted", "day": DAY}
    texts = {"survey": "buy", "journey": "", "touchpoint": "", "dimensions": {}, "derived": {}}
    async with database.migrating() as tx:
        await insert(tx, tables.facts, [columns | texts])
