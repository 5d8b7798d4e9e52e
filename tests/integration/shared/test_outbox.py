"""The outbox and its relay on both databases: order, retries, one holder, and a row that is refused for good."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa

from shared.contracts.envelope import decode_message
from shared.contracts.keys import Key
from shared.contracts.messages import CustomerChanged
from shared.db import Database, insert
from shared.errors import Refused, Unavailable
from shared.leases import Lease, lease_table
from shared.log import Outgoing, Record
from shared.outbox import Relay, announce, measure, outbox_table
from shared.positions import positions_table
from tests.fakes import FakeProducer
from tests.integration.shared.probe import open_probe
from tests.support import eventually

metadata = sa.MetaData()
outbox = outbox_table(metadata)
leases = lease_table(metadata)
positions = positions_table(metadata)
AT = datetime(2026, 11, 23, 9, tzinfo=UTC)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with open_probe(database_url, metadata) as opened:
        yield opened


def relay(database: Database, producer: FakeProducer) -> Relay:
    lease = Lease(database, leases, "outbox", seconds=1.0)
    return Relay(database, outbox, positions, lease, producer)


async def change(database: Database, customer: str, *revisions: int) -> None:
    key = Key("acme", customer)
    async with database.begin() as tx:
        changes = [
            (key, CustomerChanged(revision=r, id=customer, changed_at=AT)) for r in revisions
        ]
        await announce(tx, outbox, "ingest", AT, changes)


def seen(records: Sequence[Outgoing]) -> list[tuple[str, int]]:
    found = []
    for offset, out in enumerate(records):
        received = decode_message(Record(out.topic, 0, offset, out.key, out.value, out.headers, 0))
        assert received is not None
        assert received.workspace == "acme"
        found.append((received.entity, received.message.revision))
    return found


async def test_what_was_committed_is_published_in_order_and_leaves_the_table(
    database: Database,
) -> None:
    producer = FakeProducer()
    await change(database, "c1", 1, 2)
    await change(database, "c2", 1)
    assert await relay(database, producer).step() == 3
    assert seen(producer.sent) == [("c1", 1), ("c1", 2), ("c2", 1)]
    assert {out.topic for out in producer.sent} == {"customers"}
    assert (await measure(database, outbox))["waiting"] == 0


async def test_nothing_is_announced_by_a_transaction_that_fails(database: Database) -> None:
    with pytest.raises(RuntimeError):  # noqa: PT012 - the whole transaction is what fails
        async with database.begin() as tx:
            await announce(
                tx,
                outbox,
                "ingest",
                AT,
                [(Key("acme", "c1"), CustomerChanged(revision=1, id="c1", changed_at=AT))],
            )
            raise RuntimeError
    assert (await measure(database, outbox))["waiting"] == 0


async def test_a_log_that_is_away_keeps_every_row(database: Database) -> None:
    producer = FakeProducer(Unavailable("log"))
    worker = relay(database, producer)
    await change(database, "c1", 1)
    with pytest.raises(Unavailable):
        await worker.step()
    assert (await measure(database, outbox))["waiting"] == 1
    assert await worker.step() == 1
    assert seen(producer.sent) == [("c1", 1)]


async def test_only_one_relay_publishes_and_another_takes_over(database: Database) -> None:
    first, second = FakeProducer(), FakeProducer()
    holder, spare = relay(database, first), relay(database, second)
    await change(database, "c1", 1)
    assert (await holder.step(), await spare.step()) == (1, 0)
    await change(database, "c1", 2)

    async def taken_over() -> bool:
        return await spare.step() == 1

    await eventually(taken_over, what="the lease of a silent holder to lapse")
    assert seen(second.sent) == [("c1", 2)]
    assert await holder.step() == 0


async def test_a_refused_row_blocks_its_key_only_and_is_shown(database: Database) -> None:
    producer = FakeProducer(Refused("too large", 0))
    worker = relay(database, producer)
    await change(database, "big", 1)
    await change(database, "c2", 1)
    await change(database, "big", 2)
    assert await worker.step() == 0
    assert await worker.step() == 1
    assert seen(producer.sent) == [("c2", 1)]
    assert await worker.step() == 0
    shown = await measure(database, outbox)
    assert (shown["waiting"], shown["blocked"]) == (2, 1)


async def test_the_running_relay_is_woken_by_a_commit_and_stops(database: Database) -> None:
    producer = FakeProducer()
    stop = asyncio.Event()
    task = asyncio.create_task(relay(database, producer).run(stop))
    await change(database, "c1", 1)

    async def published() -> bool:
        return len(producer.sent) == 1

    await eventually(published, what="publishing")
    stop.set()
    await asyncio.wait_for(task, 5)


async def test_any_number_of_blocked_keys_leaves_the_others_going(database: Database) -> None:
    async with database.begin() as tx:
        await insert(
            tx,
            outbox,
            [
                {
                    "topic": "customers",
                    "key": b"acme/%d" % i,
                    "value": b"{}",
                    "created_at": AT,
                    "blocked": "too large",
                }
                for i in range(20_000)
            ],
        )
    await change(database, "c1", 1)
    producer = FakeProducer()
    assert await relay(database, producer).step() == 1
    assert seen(producer.sent) == [("c1", 1)]
