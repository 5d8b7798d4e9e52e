"""Decisions in ranges of days: where they land, how they are found, and that what is old goes and what is pending stays."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import patch

import pytest
import sqlalchemy as sa

from services.trigger.release import EVENTS_KEPT
from services.trigger.settings import EVENTS_KEPT_DAYS
from services.trigger.store import decisions as store
from services.trigger.store import listing
from services.trigger.store.events import save_decisions
from services.trigger.store.listing import Wanted
from services.trigger.store.retention import kept
from services.trigger.tables import decisions, leases
from shared.data_scope import EVERYTHING
from shared.db import Database, open_database, postgresql
from shared.db.days import day_of
from shared.db.partitions import list_ranges, make_ranges
from shared.errors import Unavailable
from shared.outlook import Outlook
from shared.retention import Retention
from tests.integration.ranges import cut_anew
from tests.integration.trigger.conftest import Bench
from tests.integration.trigger.rows import row
from tests.support import days_ago

KEPT_DAYS = 5
VIEW = EVERYTHING.view()


@pytest.fixture
async def database(bench: Bench) -> Database:
    """Cut into days since twelve days ago, of which five are kept."""
    await cut_anew(bench.database, [decisions], 12)
    return bench.database


@pytest.fixture
async def on_postgresql(postgres_copy: str) -> AsyncIterator[Database]:
    async with open_database(postgres_copy, "trigger") as database:
        database.gate = None
        await cut_anew(database, [decisions], 12)
        yield database


def retention(database: Database, days: int = KEPT_DAYS) -> Retention:
    return Retention(database, leases, kept(days, 0))


async def save(database: Database, *rows: dict[str, Any]) -> list[str]:
    async with database.begin() as tx:
        await save_decisions(tx, sorted(rows, key=lambda each: each["id"]))
    return [each["id"] for each in rows]


async def ids(database: Database) -> set[str]:
    async with database.read() as tx:
        return set((await tx.execute(sa.select(decisions.c.id))).scalars())


async def finish(retention: Retention) -> None:
    while await retention.step():
        pass


async def partition_of(database: Database, id: str) -> str:
    async with database.read() as tx:
        found = sa.text("SELECT tableoid::regclass::text FROM decisions WHERE id = :id")
        return str((await tx.execute(found, {"id": id})).scalar_one())


async def decided(retention: Retention) -> Outlook:
    [found] = [each for each in await retention.outlook() if each.name == "decisions"]
    return found


async def test_each_row_lands_in_the_range_of_its_day(on_postgresql: Database) -> None:
    for days in (0, 1, 7, 12):
        [id] = await save(on_postgresql, row(days))
        assert await partition_of(on_postgresql, id) == f"decisions_{day_of(id):%Y%m%d}"


async def test_what_no_range_is_for_lands_in_the_default(on_postgresql: Database) -> None:
    early, late = await save(on_postgresql, row(100), row(-100))
    for id in (early, late):
        assert await partition_of(on_postgresql, id) == "decisions_default"


async def test_lists_go_on_over_the_bound_of_a_range(database: Database) -> None:
    saved = await save(database, *(row(days) for days in (0, 0.5, 1, 1.5, 2, 2.5, 100)))
    for wanted in (Wanted(), Wanted(customer="ann"), Wanted(trigger="after")):
        found: list[str] = []
        for _ in range(4):
            async with database.read() as tx:
                before = found[-1] if found else None
                page = await listing.list_decisions(
                    tx, "acme", VIEW, wanted, before=before, limit=2
                )
            found += [each.id for each in page]
        assert found == sorted(saved, reverse=True)


async def test_a_decision_is_found_by_its_id_and_by_its_event(database: Database) -> None:
    wanted = row(3)
    await save(database, wanted, row(3), row(4))
    async with database.read() as tx:
        one = await listing.get_decision(tx, "acme", VIEW, wanted["id"])
        by_event = Wanted(event=wanted["event"])
        some = await listing.list_decisions(tx, "acme", VIEW, by_event, before=None, limit=9)
    assert one is not None
    assert [each.id for each in some] == [one.id] == [wanted["id"]]


async def test_what_is_old_goes_and_what_is_pending_stays(database: Database) -> None:
    pending, old, kept_yet, new = await save(
        database, row(10, "pending"), row(9), row(KEPT_DAYS), row(0)
    )
    before = await decided(retention(database))
    assert before.kept_days == KEPT_DAYS
    assert before.oldest_day == days_ago(10).date()
    await finish(retention(database))
    assert await ids(database) == {pending, kept_yet, new}
    if database.dialect == "postgresql":
        waits = {one.end_day - timedelta(days=1) for one in before.partitions if one.waits}
        goes = {one.first_day for one in before.partitions if not one.waits}
        assert waits == {day_of(pending)}
        assert day_of(old) in goes
        async with database.read() as tx:
            left = {one.first_day for one in await list_ranges(tx, decisions)}
        assert left.isdisjoint(goes)
        assert waits | {day_of(kept_yet), day_of(new)} <= left
    else:
        assert before.rows == 1
    after = await decided(retention(database))
    assert after.rows == 0
    assert all(one.waits for one in after.partitions)


async def test_a_range_goes_once_what_was_pending_in_it_is_settled(database: Database) -> None:
    [id] = await save(database, row(10, "pending"))
    once = retention(database)
    await finish(once)
    async with database.begin() as tx:
        await tx.execute(sa.update(decisions).values(outcome="cancelled"))
    await finish(once)
    assert id not in await ids(database)
    assert (await decided(once)).partitions == []


async def test_for_ever_is_for_ever(database: Database) -> None:
    saved = await save(database, row(12), row(400))
    await finish(retention(database, days=0))
    assert await ids(database) == set(saved)
    assert (await decided(retention(database, days=0))).before is None


async def test_the_default_is_emptied_by_age_but_for_what_is_pending(
    on_postgresql: Database,
) -> None:
    pending, _, of_other, future = await save(
        on_postgresql,
        row(100, "pending"),
        row(101),
        row(102, workspace="other"),
        row(-100),
    )
    assert (await decided(retention(on_postgresql))).rows == 2
    await finish(retention(on_postgresql))
    assert await ids(on_postgresql) == {pending, future}
    assert of_other not in await ids(on_postgresql)


async def test_two_processes_do_it_once(database: Database) -> None:
    await save(database, row(10), row(9))
    one, two = retention(database), retention(database)
    await asyncio.gather(finish(one), finish(two))
    assert await ids(database) == set()
    assert (await decided(two)).partitions == []


async def test_two_at_once_make_the_same_ranges_without_a_lease(on_postgresql: Database) -> None:
    async def make() -> int:
        async with on_postgresql.begin() as tx:
            at = datetime.now(UTC) + timedelta(days=3)
            return len(await make_ranges(tx, [decisions], at, 1))

    assert sorted(await asyncio.gather(make(), make())) == [0, 3]


async def test_a_range_that_is_read_is_left_for_later_and_nobody_waits(
    on_postgresql: Database,
) -> None:
    [old] = await save(on_postgresql, row(10))
    once = retention(on_postgresql)
    async with on_postgresql.begin() as reading:
        await reading.execute(sa.select(decisions.c.id))
        await finish(once)
        assert old in await ids(on_postgresql)
        await save(on_postgresql, row(0))
    await finish(once)
    assert old not in await ids(on_postgresql)


async def test_a_day_that_has_begun_in_the_default_stays_there(on_postgresql: Database) -> None:
    at = datetime.now(UTC) + timedelta(days=8)
    [early] = await save(on_postgresql, row(-8))
    async with on_postgresql.begin() as tx:
        made = await make_ranges(tx, [decisions], at, 1)
    assert day_of(early) not in made
    assert len(made) == 7
    assert await partition_of(on_postgresql, early) == "decisions_default"


async def test_longer_ranges_follow_days_without_a_gap(on_postgresql: Database) -> None:
    async with on_postgresql.begin() as tx:
        await make_ranges(tx, [decisions], datetime.now(UTC) + timedelta(days=20), 7)
        ranges = await list_ranges(tx, decisions)
    ends = [one.end for one in ranges if one.end_day > days_ago(0).date()]
    firsts = [one.first for one in ranges if one.end_day > days_ago(0).date()]
    assert firsts[1:8] == ends[:7]
    assert (ranges[-1].end_day - ranges[-1].first_day).days == 7  # type: ignore[operator]


async def test_a_role_that_may_make_no_tables_ends_no_process(on_postgresql: Database) -> None:
    [old] = await save(on_postgresql, row(10))
    async with on_postgresql.begin() as tx:
        for statement in (
            "DROP ROLE IF EXISTS clerk",
            "CREATE ROLE clerk",
            "GRANT USAGE ON SCHEMA trigger TO clerk",
            "GRANT ALL ON ALL TABLES IN SCHEMA trigger TO clerk",
        ):
            await tx.execute(sa.text(statement))

    @asynccontextmanager
    async def as_clerk() -> AsyncIterator[Any]:
        async with begin() as tx:
            await tx.execute(sa.text("SET LOCAL ROLE clerk"))
            yield tx

    begin = on_postgresql.begin
    try:
        with patch.object(on_postgresql, "begin", as_clerk):
            assert await retention(on_postgresql).step() == 0
        assert old in await ids(on_postgresql)
    finally:
        async with on_postgresql.begin() as tx:
            await tx.execute(sa.text("DROP OWNED BY clerk"))
            await tx.execute(sa.text("DROP ROLE clerk"))


def test_decisions_outlive_what_is_known_of_their_events() -> None:
    assert timedelta(days=EVENTS_KEPT_DAYS) == EVENTS_KEPT


def _ranges_in(plan: Any) -> set[str]:
    if isinstance(plan, list):
        return {name for each in plan for name in _ranges_in(each)}
    if not isinstance(plan, dict):
        return set()
    own = {plan["Relation Name"]} if "Relation Name" in plan else set()
    return own - {"decisions"} | {name for value in plan.values() for name in _ranges_in(value)}


@asynccontextmanager
async def plans(database: Database) -> AsyncIterator[list[set[str]]]:
    """The partitions that each statement meanwhile looks into, by its plan; statements without one are left out."""
    seen: list[set[str]] = []
    fetch = postgresql.fetch

    async def explained(tx: Any, sql: str, arguments: Sequence[Any]) -> list[Any]:
        if sql.startswith(("SELECT decisions", "UPDATE decisions")):
            [(plan,)] = await fetch(tx, f"EXPLAIN (FORMAT JSON) {sql}", arguments)
            seen.append(_ranges_in(plan if isinstance(plan, list) else json.loads(plan)))
        return await fetch(tx, sql, arguments)

    with patch.object(postgresql, "fetch", explained):
        yield seen


async def test_a_look_by_id_reads_one_range(on_postgresql: Database) -> None:
    wanted = row(3)
    await save(on_postgresql, wanted, row(1), row(9))
    async with on_postgresql.read() as tx:
        found = await tx.execute(
            sa.text(
                "EXPLAIN (FORMAT JSON) SELECT * FROM decisions WHERE workspace = 'acme' AND id = :id"
            ),
            {"id": wanted["id"]},
        )
        assert _ranges_in(found.scalar_one()) == {f"decisions_{day_of(wanted['id']):%Y%m%d}"}


async def test_a_batch_locks_and_leases_in_the_ranges_of_its_ids(on_postgresql: Database) -> None:
    saved = [row(days, "pending") for days in (3.1, 3.2, 4.5)]
    await save(on_postgresql, row(1), *saved, row(9))
    days = {f"decisions_{day_of(each['id']):%Y%m%d}" for each in saved}
    async with plans(on_postgresql) as seen, on_postgresql.begin() as tx:
        await store.lock_pending(tx, [("acme", each["id"]) for each in saved])
        claimed = await store.claim_releases(tx)
    locked, _picked, leased = seen
    assert {each.id for each in claimed} == {each["id"] for each in saved}
    assert all(each.leased_until is not None for each in claimed)
    assert locked == leased
    assert days <= locked
    assert len(locked) <= 3


async def test_a_table_that_is_in_use_is_not_waited_for_long(on_postgresql: Database) -> None:
    async with on_postgresql.begin() as reading:
        await reading.execute(sa.text("LOCK TABLE decisions_default IN ACCESS SHARE MODE"))
        with pytest.raises(Unavailable):
            async with on_postgresql.begin() as tx:
                await make_ranges(tx, [decisions], datetime.now(UTC) + timedelta(days=1), 1)
