"""The database ground on both databases: bulk statements, locks, claims, wake-ups, and what is retriable."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
import sqlalchemy as sa

from shared.db import (
    Database,
    Due,
    Json,
    Prepared,
    Tx,
    Upsert,
    UtcDateTime,
    among,
    append,
    delete,
    insert,
    load,
    lock,
    now,
    open_database,
    update,
    wake,
)
from shared.errors import StartupError, Unavailable
from tests.integration.shared.probe import open_probe

metadata = sa.MetaData()
things = sa.Table(
    "things",
    metadata,
    sa.Column("workspace", sa.Text, primary_key=True),
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("revision", sa.Integer, nullable=False),
    sa.Column("count", sa.BigInteger, nullable=False),
    sa.Column("document", Json),
    sa.Column("body", sa.LargeBinary),
    sa.Column("due_at", UtcDateTime),
    sa.Column("leased_until", UtcDateTime),
)
locks = sa.Table(
    "locks",
    metadata,
    sa.Column("workspace", sa.Text, primary_key=True),
    sa.Column("id", sa.Text, primary_key=True),
)
DUE = Due(
    things,
    due=things.c.due_at,
    leased_until=things.c.leased_until,
    where=things.c.workspace == "acme",
)
Write = Callable[[Tx, sa.Table, list[dict[str, Any]]], Awaitable[Any]]
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def thing(id: str, **fields: Any) -> dict[str, Any]:
    row = {
        "workspace": "acme",
        "id": id,
        "revision": 1,
        "count": 1,
        "document": {"é": [1, None]},
        "body": b"\x00\xff",
    }
    return row | {"due_at": LONG_AGO, "leased_until": None} | fields


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with open_probe(database_url, metadata) as opened:
        yield opened


async def test_insert_claims_only_what_is_new(database: Database) -> None:
    async with database.begin() as tx:
        first = await insert(tx, things, [thing("a"), thing("b")], returning=("id",))
        again = await insert(tx, things, [thing("a"), thing("b"), thing("c")], returning=("id",))
    assert [row.id for row in first] == ["a", "b"]
    assert [row.id for row in again] == ["c"]


@pytest.mark.parametrize("write", [insert, append])
async def test_values_come_back_as_they_went_in(database: Database, write: Write) -> None:
    at = datetime(2026, 11, 23, 8, 30, 1, 123456, tzinfo=UTC)
    async with database.begin() as tx:
        await write(tx, things, [thing("a", due_at=at), thing("b", document=None, body=None)])
    async with database.read() as tx:
        rows = {
            row.id: row
            for row in await load(
                tx, things, [things.c.workspace, things.c.id], [("acme", "a"), ("acme", "b")]
            )
        }
    assert rows["a"].document == {"é": [1, None]}
    assert bytes(rows["a"].body) == b"\x00\xff"
    assert rows["a"].due_at == at
    assert (rows["b"].document, rows["b"].body) == (None, None)


async def test_upsert_adds_and_takes_only_what_is_newer(database: Database) -> None:
    add = Upsert(("workspace", "id"), add=("count",))
    newer = Upsert(("workspace", "id"), replace=("revision", "document"), newer="revision")
    async with database.begin() as tx:
        await insert(tx, things, [thing("a", revision=2)])
        await insert(tx, things, [thing("a", count=41)], upsert=add)
        stale = await insert(
            tx, things, [thing("a", revision=2, document={})], upsert=newer, returning=("id",)
        )
        fresh = await insert(
            tx,
            things,
            [thing("a", revision=3, document={"new": 1})],
            upsert=newer,
            returning=("id",),
        )
        (row,) = await load(tx, things, [things.c.id], [("a",)])
    assert (len(stale), len(fresh)) == (0, 1)
    assert row._mapping["count"] == 42
    assert (row.revision, row.document) == (3, {"new": 1})


async def test_many_rows_in_one_call(database: Database) -> None:
    async with database.begin() as tx:
        written = await insert(
            tx, things, [thing(f"{i:06}") for i in range(9_000)], returning=("id",)
        )
        found = await load(
            tx,
            [things.c.id],
            [things.c.workspace, things.c.id],
            [("acme", f"{i:06}") for i in range(9_000)],
        )
    assert (len(written), len(found)) == (9_000, 9_000)


async def test_what_is_the_same_in_many_rows_stands_in_each(database: Database) -> None:
    rows = [thing(f"{i:03}", body=None, revision=2 if i == 150 else 1) for i in range(300)]
    async with database.begin() as tx:
        await insert(tx, things, rows)
        found = await load(tx, things, [things.c.id], [(row["id"],) for row in rows])
    assert sorted(tuple(row) for row in found) == [tuple(row.values()) for row in rows]


async def test_rows_that_are_all_the_same_are_one(database: Database) -> None:
    async with database.begin() as tx:
        written = await insert(tx, things, [thing("a")] * 300, returning=("id",))
    assert [row.id for row in written] == ["a"]


async def test_a_transaction_that_fails_leaves_nothing(database: Database) -> None:
    with pytest.raises(RuntimeError):  # noqa: PT012 - the whole transaction is what fails
        async with database.begin() as tx:
            await insert(tx, things, [thing("a")])
            raise RuntimeError
    async with database.read() as tx:
        assert (await tx.execute(sa.select(sa.func.count()).select_from(things))).scalar_one() == 0


async def test_a_rehearsal_sees_its_own_effect_and_leaves_none(database: Database) -> None:
    async with database.rehearse() as tx:
        wake(tx, "outbox")
        await insert(tx, things, [thing("a")])
        assert len(await load(tx, things, [things.c.id], [("a",)])) == 1
    async with database.read() as tx:
        assert await load(tx, things, [things.c.id], [("a",)]) == []
    assert database.signal("outbox").count == 0


async def test_rows_are_deleted_by_their_keys(database: Database) -> None:
    async with database.begin() as tx:
        await insert(tx, things, [thing("a"), thing("b"), thing("c")])
        by = [things.c.workspace, things.c.id]
        await delete(tx, things, by, [("acme", "a"), ("acme", "c"), ("other", "b")])
        await delete(tx, things, by, [])
        left = await load(tx, things, [things.c.workspace], [("acme",)])
    assert [row.id for row in left] == ["b"]


async def test_rows_are_updated_by_their_keys_and_none_is_made(database: Database) -> None:
    c = things.c
    more = (
        sa.update(things)
        .values(count=c.count + sa.bindparam("more"), leased_until=sa.bindparam("until"))
        .returning(c.id, c.count)
    )
    keys = [("acme", "a"), ("acme", "c"), ("acme", "x"), ("other", "b")]
    async with database.begin() as tx:
        await insert(tx, things, [thing("a"), thing("b"), thing("c", count=4)])
        changed = await update(tx, more, [c.workspace, c.id], keys, more=2, until=LONG_AGO)
        assert await update(tx, more, [c.workspace, c.id], [], more=2, until=LONG_AGO) == []
        stored = await load(tx, things, [c.workspace], [("acme",)])
    assert {tuple(row) for row in changed} == {("a", 3), ("c", 6)}
    assert {row.id: (row.count, row.leased_until) for row in stored} == {
        "a": (3, LONG_AGO),
        "b": (1, None),
        "c": (6, LONG_AGO),
    }


async def test_a_statement_is_prepared_once_for_any_number_of_texts(database: Database) -> None:
    ids = Prepared(
        sa.select(things.c.id, things.c.document)
        .where(among(things.c.id, "ids"), things.c.due_at <= sa.bindparam("at"))
        .order_by(things.c.id)
    )
    later = LONG_AGO + timedelta(days=1)
    async with database.begin() as tx:
        await insert(tx, things, [thing("a"), thing("b"), thing("c", due_at=later)])
        for wanted, found in (([], []), (["b", "a", "x"], ["a", "b"]), (["c"], [])):
            rows = await ids.rows(tx, ids=wanted, at=LONG_AGO)
            assert [row.id for row in rows] == found
            assert all(row.document == {"é": [1, None]} for row in rows)


async def test_a_connection_that_the_server_closed_is_not_handed_out(postgres_url: str) -> None:
    async with open_database(postgres_url, "probe") as opened:
        opened.gate = None
        async with opened.begin() as tx:
            (mine,) = (await tx.execute(sa.text("SELECT pg_backend_pid()"))).scalars()
        other = await asyncpg.connect(postgres_url)
        await other.execute("SELECT pg_terminate_backend($1)", mine)
        while await other.fetchval("SELECT true FROM pg_stat_activity WHERE pid = $1", mine):
            await asyncio.sleep(0.01)
        await other.close()
        async with opened.begin() as tx:
            assert (await tx.execute(sa.text("SELECT 1"))).scalar_one() == 1


async def test_a_transaction_that_is_cancelled_goes_back_clean(database: Database) -> None:
    entered = asyncio.Event()

    async def hang() -> None:
        async with database.begin() as tx:
            await insert(tx, things, [thing("a")])
            entered.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(hang())
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with database.begin() as tx:
        assert await load(tx, things, [things.c.id], [("a",)]) == []


async def test_whenever_a_transaction_is_cancelled_the_next_one_is_durable(
    database: Database,
) -> None:
    """A cancelled BEGIN may have begun: what comes next on that connection must not be a part of it."""

    async def write(id: str) -> None:
        async with database.begin() as tx:
            await insert(tx, things, [thing(id)])

    await write("first")
    for turns in range(60):
        task = asyncio.create_task(write(f"cancelled-{turns}"))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task})
        await write(f"next-{turns}")
        async with database.read() as tx:
            assert await load(tx, [things.c.id], [things.c.id], [(f"next-{turns}",)]), turns


async def test_a_commit_that_the_database_made_a_rollback_is_not_taken_for_one(
    postgres_url: str,
) -> None:
    async with open_probe(postgres_url, metadata) as opened:
        with pytest.raises(RuntimeError, match="rolled back"):  # noqa: PT012 - the commit is what fails
            async with opened.begin() as tx:
                await insert(tx, things, [thing("a")])
                with pytest.raises(sa.exc.DBAPIError):
                    await tx.execute(sa.text("SELECT no_such_column FROM things"))


async def test_the_first_contact_locks_too(database: Database) -> None:
    """Two transactions that meet at a key nobody has seen yet run one after the other."""
    order: list[str] = []

    async def contender(name: str, entered: asyncio.Event, go_on: asyncio.Event) -> None:
        async with database.begin() as tx:
            await lock(tx, locks, [("acme", "c1"), ("acme", "c0")])
            order.append(f"{name} in")
            entered.set()
            await go_on.wait()
            order.append(f"{name} out")

    first_in, second_in, go_on = asyncio.Event(), asyncio.Event(), asyncio.Event()
    first = asyncio.create_task(contender("first", first_in, go_on))
    await first_in.wait()
    second = asyncio.create_task(contender("second", second_in, go_on))
    await asyncio.wait({second}, timeout=0.2)
    assert order == ["first in"]
    go_on.set()
    await asyncio.gather(first, second)
    assert order == ["first in", "first out", "second in", "second out"]


async def claim(tx: Tx, limit: int = 10) -> list[str]:
    rows = await DUE.claim(tx, limit=limit, lease_seconds=30)
    return sorted(row.id for row in rows)


async def test_what_is_due_is_claimed_once_and_again_when_its_lease_has_passed(
    database: Database,
) -> None:
    async with database.begin() as tx:
        later = await now(tx) + timedelta(hours=1)
        await insert(tx, things, [thing("a"), thing("b"), thing("later", due_at=later)])
    async with database.begin() as tx:
        assert await claim(tx) == ["a", "b"]
    async with database.begin() as tx:
        assert await claim(tx) == []
        await tx.execute(sa.update(things).where(things.c.id == "a").values(leased_until=LONG_AGO))
    async with database.begin() as tx:
        assert await claim(tx) == ["a"]


async def test_two_workers_never_claim_the_same(database: Database) -> None:
    async with database.begin() as tx:
        await insert(tx, things, [thing(f"{i:03}") for i in range(100)])

    async def worker() -> list[str]:
        async with database.begin() as tx:
            return await claim(tx, limit=25)

    claimed = [id for ids in await asyncio.gather(*(worker() for _ in range(4))) for id in ids]
    assert len(claimed) == len(set(claimed)) == 100


async def test_a_wake_up_comes_after_the_commit_and_not_after_a_failure(database: Database) -> None:
    with pytest.raises(RuntimeError):  # noqa: PT012 - the whole transaction is what fails
        async with database.begin() as tx:
            wake(tx, "outbox")
            raise RuntimeError
    assert database.signal("outbox").count == 0
    async with database.begin() as tx:
        wake(tx, "outbox")
        assert database.signal("outbox").count == 0
    assert database.signal("outbox").count == 1


async def test_nothing_is_read_or_written_before_the_schema_is_checked(database: Database) -> None:
    database.gate = "not checked"
    with pytest.raises(Unavailable, match="not checked"):
        async with database.begin():
            pass
    with pytest.raises(Unavailable, match="not checked"):
        async with database.read():
            pass


async def test_a_broken_statement_is_not_called_unavailable(database: Database) -> None:
    with pytest.raises(sa.exc.DBAPIError):
        async with database.begin() as tx:
            await tx.execute(sa.text("SELECT no_such_column FROM things"))


@pytest.mark.parametrize("write", [insert, append])
async def test_an_error_does_not_repeat_the_values_of_its_rows(
    database: Database, write: Write
) -> None:
    secret = {"contact": {"email": "mei@example.com"}}
    with pytest.raises(sa.exc.DBAPIError) as raised:
        async with database.begin() as tx:
            await write(tx, things, [thing("a", document=secret, revision=None)])
    assert "revision" in str(raised.value)
    assert "mei@example.com" not in str(raised.value)


async def test_an_error_about_an_argument_does_not_repeat_it(postgres_url: str) -> None:
    async with open_probe(postgres_url, metadata) as opened:
        with pytest.raises(sa.exc.DBAPIError) as raised:
            async with opened.begin() as tx:
                await insert(tx, things, [thing("a", revision="mei@example.com")])
    assert "argument" in str(raised.value)
    assert "mei@example.com" not in str(raised.value)


async def test_a_database_that_is_down_is_unavailable() -> None:
    async with open_database("postgresql://nobody@127.0.0.1:1/none", "probe") as opened:
        opened.gate = None
        with pytest.raises(Unavailable):
            async with opened.begin():
                pass


async def test_another_scheme_is_refused_with_an_example() -> None:
    with pytest.raises(StartupError, match=r"postgresql://.*sqlite:///"):
        async with open_database("mysql://localhost/x", "probe"):
            pass
