"""When our copy of the customers counts as read: what is unread and could be a stop keeps everybody from being asked."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from services.trigger.freshness import FreshnessWatch
from services.trigger.tables import positions
from shared.contracts.envelope import decode_message, encode_message
from shared.contracts.keys import Key
from shared.contracts.messages import CustomerChanged
from shared.contracts.topics import Topic, topic_specs
from shared.log import Log, Outgoing, Record, TopicPartition
from shared.log.opening import open_log
from shared.positions import note
from tests.integration.trigger.conftest import Bench

STOPPED = CustomerChanged(
    id="ann", revision=1, consent={"surveys": False}, changed_at=datetime.now(UTC)
)


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[Log]:
    async with open_log(f"sqlite:///{tmp_path / 'log'}") as log:
        await log.create_topics(topic_specs())
        yield log


def _stop(schema: str = "1.0") -> Outgoing:
    key = Key("acme", "ann")
    record = encode_message(
        key, STOPPED, id="m", source="test", time=STOPPED.changed_at, traceparent=None
    )
    envelope = msgspec.json.decode(record.value or b"") | {"schemaversion": schema}
    return Outgoing(record.topic, record.key, msgspec.json.encode(envelope))


async def _append(log: Log, *records: Outgoing) -> list[Record]:
    """Append them, all of one partition; returns what stands there now."""
    async with log.producer() as producer:
        await producer.send(records)
    for partition in await log.lag("trigger", [Topic.CUSTOMERS]):
        if found := await log.read(
            TopicPartition(Topic.CUSTOMERS, partition.partition), 0, max_records=1_000
        ):
            return list(found)
    return []


async def test_an_unread_change_is_waited_for_until_it_is_stored(bench: Bench, log: Log) -> None:
    watch = FreshnessWatch(bench.handlers, log)
    assert await watch.look()
    records = await _append(log, _stop())
    assert not await watch.look()
    received = decode_message(records[0])
    assert received is not None
    await bench.handlers.customers([received])  # type: ignore[list-item]
    assert await watch.look()


async def test_a_change_of_a_newer_major_version_is_unread_and_may_be_a_stop(
    bench: Bench, log: Log
) -> None:
    await _append(log, _stop("2.0"))
    assert not await FreshnessWatch(bench.handlers, log).look()


async def test_a_change_that_was_given_up_holds_nobody_up(bench: Bench, log: Log) -> None:
    (record,) = await _append(log, _stop())
    async with bench.database.begin() as tx:
        await note(tx, positions, {record.at: record.offset + 1})
    assert await FreshnessWatch(bench.handlers, log).look()


async def test_many_erasures_at_the_end_hold_nobody_up_and_hide_no_change(
    bench: Bench, log: Log
) -> None:
    watch = FreshnessWatch(bench.handlers, log)
    gone = [Outgoing(Topic.CUSTOMERS, b"acme/ann", None)] * 150
    await _append(log, *gone)
    assert await watch.look()
    await _append(log, _stop())
    assert not await watch.look()
