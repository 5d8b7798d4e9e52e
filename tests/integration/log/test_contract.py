"""The contract of the log, the same for a SQLite file and for Apache Kafka."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import ExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest

from shared.contracts.partitioner import partition_of
from shared.errors import OffsetLost, Refused, Unavailable
from shared.log import Consumer, Lag, Log, Outgoing, Record, TopicPartition, TopicSpec
from shared.log.limits import MAX_RECORD_BYTES
from shared.log.opening import open_log
from tests.integration.log.conftest import DAY_MS, OpenLog

LONG = 30.0


def numbered(topic: str, key: bytes, count: int, start: int = 0) -> list[Outgoing]:
    return [Outgoing(topic, key, b"%d" % n) for n in range(start, start + count)]


async def send(log: Log, records: Sequence[Outgoing]) -> None:
    async with log.producer() as producer:
        await producer.send(records)


async def take(
    consumer: Consumer,
    count: int,
    seconds: float = LONG,
    *,
    without: Collection[TopicPartition] = (),
) -> list[Record]:
    """Fetch until there are `count` records, in the order in which they came."""
    records: list[Record] = []
    deadline = time.monotonic() + seconds
    while len(records) < count:
        assert time.monotonic() < deadline, f"{len(records)} of {count} records in {seconds} s"
        try:
            fetched = await consumer.fetch(max_records=1000, timeout_seconds=0.5, without=without)
        except Unavailable:
            continue
        for batch in fetched.values():
            records += batch
    return records


@asynccontextmanager
async def polled(consumer: Consumer) -> AsyncIterator[list[Record]]:
    """Fetch in the background, as a service's loop does; only a member that fetches takes part."""
    seen: list[Record] = []

    async def poll() -> None:
        while True:
            for batch in (await consumer.fetch(max_records=100, timeout_seconds=0.2)).values():
                seen.extend(batch)

    task = asyncio.create_task(poll())
    try:
        yield seen
    finally:
        task.cancel()
        await asyncio.wait({task})


async def until(condition: Callable[[], object], seconds: float = LONG) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        await asyncio.sleep(0.01)


async def test_a_send_tells_where_its_partitions_go_on(opened: OpenLog) -> None:
    topic = await opened.topic("events", 4)
    async with opened.log.producer() as producer:
        ((at, end),) = (await producer.send(numbered(topic, b"k", 3))).items()
        assert end == 3
        assert await producer.send(numbered(topic, b"k", 2)) == {at: 5}
        others = [Outgoing(topic, b"%d" % n, b"v") for n in range(40)]
        ends = await producer.send(others)
    assert len(ends) > 1
    for at, end in ends.items():
        assert len(await opened.log.read(at, end - 1, max_records=10)) == 1
        assert not await opened.log.read(at, end, max_records=10)


async def test_a_key_keeps_its_order_and_its_partition(opened: OpenLog) -> None:
    topic = await opened.topic("events", 4)
    keys = [b"acme/%d" % n for n in range(8)]
    async with opened.log.producer() as producer:
        await asyncio.gather(*(producer.send(numbered(topic, key, 200)) for key in keys))
        for key in keys:
            await producer.send(numbered(topic, key, 50, start=200))
    async with opened.log.consumer("readers", [topic]) as consumer:
        records = await take(consumer, 8 * 250)
    for key in keys:
        mine = [record for record in records if record.key == key]
        assert [record.value for record in mine] == [b"%d" % n for n in range(250)]
        assert {record.partition for record in mine} == {partition_of(key, 4)}
    for partition in range(4):
        offsets = [record.offset for record in records if record.partition == partition]
        assert offsets == list(range(len(offsets)))


async def test_what_was_sent_is_there_when_the_log_is_opened_again(log_url: str) -> None:
    async with open_log(log_url) as log:
        await log.create_topics([TopicSpec("events", 2, DAY_MS)])
        await send(log, numbered("events", b"acme/1", 100))
    async with open_log(log_url) as log:
        at = TopicPartition("events", partition_of(b"acme/1", 2))
        records = await log.read(at, 0, max_records=1000)
        assert [record.value for record in records] == [b"%d" % n for n in range(100)]
        await send(log, numbered("events", b"acme/1", 1, start=100))
        assert [record.offset for record in await log.read(at, 100, max_records=10)] == [100]


async def test_many_concurrent_sends_all_land_once(opened: OpenLog) -> None:
    topic = await opened.topic("events", 3)
    async with opened.log.producer() as producer:
        sends = [
            [Outgoing(topic, b"k%d" % (n * m), b"%d-%d" % (n, m)) for m in range(7)]
            for n in range(300)
        ]
        await asyncio.gather(*(producer.send(records) for records in sends))
    async with opened.log.consumer("readers", [topic]) as consumer:
        records = await take(consumer, 2100)
    assert sorted(record.value or b"" for record in records) == sorted(
        record.value or b"" for one in sends for record in one
    )


async def test_headers_empty_and_missing_values_come_back_as_they_were(opened: OpenLog) -> None:
    topic = await opened.topic("events")
    headers = (("traceparent", b"00-ab"), ("名", b"\x00\xff"), ("traceparent", b""))
    before = int(time.time() * 1000)
    await send(
        opened.log,
        [
            Outgoing(topic, b"k", b"v", headers),
            Outgoing(topic, b"k", None),
            Outgoing(topic, b"", b""),
        ],
    )
    first, second, third = await opened.log.read(TopicPartition(topic, 0), 0, max_records=10)
    assert first.headers == headers
    assert first.topic == topic
    assert (second.value, second.headers) == (None, ())
    assert (third.key, third.value) == (b"", b"")
    assert before - 2000 <= first.timestamp_ms <= int(time.time() * 1000) + 2000


async def test_a_group_goes_on_where_it_committed(opened: OpenLog) -> None:
    topic = await opened.topic("events")
    at = TopicPartition(topic, 0)
    await send(opened.log, numbered(topic, b"k", 10))
    async with opened.log.consumer("readers", [topic]) as consumer:
        assert [record.offset for record in await take(consumer, 10)] == list(range(10))
        await consumer.commit({at: 4})
    async with opened.log.consumer("readers", [topic]) as consumer:
        assert [record.offset for record in await take(consumer, 6)] == list(range(4, 10))
    async with opened.log.consumer("others", [topic]) as consumer:
        assert len(await take(consumer, 10)) == 10


async def test_a_waiting_consumer_sees_a_record_at_once(opened: OpenLog) -> None:
    topic = await opened.topic("events")
    async with (
        opened.log.producer() as producer,
        opened.log.consumer("readers", [topic]) as consumer,
    ):
        await producer.send(numbered(topic, b"k", 1))
        await take(consumer, 1)
        waits = []
        for n in range(20):
            waiting = asyncio.create_task(take(consumer, 1))
            await asyncio.sleep(0.02)
            began = time.perf_counter()
            await producer.send(numbered(topic, b"k", 1, start=n))
            await waiting
            waits.append(time.perf_counter() - began)
    assert sorted(waits)[10] < 0.1


async def test_max_records_and_timeout_bound_a_fetch(opened: OpenLog) -> None:
    topic = await opened.topic("events")
    await send(opened.log, numbered(topic, b"k", 10))
    async with opened.log.consumer("readers", [topic]) as consumer:
        fetched: list[Record] = []
        while len(fetched) < 10:
            for batch in (await consumer.fetch(max_records=3, timeout_seconds=5)).values():
                assert len(batch) <= 3
                fetched += batch
        assert [record.offset for record in fetched] == list(range(10))
        began = time.monotonic()
        assert not await consumer.fetch(max_records=3, timeout_seconds=0.3)
        assert 0.25 < time.monotonic() - began < 3


async def test_two_members_share_the_partitions_and_the_rest_goes_to_who_stays(
    opened: OpenLog,
) -> None:
    topic = await opened.topic("events", 4)
    every = {TopicPartition(topic, n) for n in range(4)}
    async with opened.log.consumer("readers", [topic]) as first, polled(first) as seen_first:
        await until(lambda: first.assigned() == every)
        async with opened.log.consumer("readers", [topic]) as second, polled(second) as seen_second:
            await until(lambda: len(first.assigned()) == len(second.assigned()) == 2)
            assert first.assigned() | second.assigned() == every
            assert not first.assigned() & second.assigned()
            await send(opened.log, [Outgoing(topic, b"k%d" % n, b"%d" % n) for n in range(40)])
            await until(lambda: len(seen_first) + len(seen_second) >= 40)
            assert {r.at for r in seen_first} <= first.assigned()
            assert {r.at for r in seen_second} <= second.assigned()
        await until(lambda: first.assigned() == every)


async def test_a_fetch_leaves_out_what_it_is_told_to(opened: OpenLog) -> None:
    topic = await opened.topic("events", 2)
    here, there = (TopicPartition(topic, n) for n in range(2))
    await send(opened.log, [Outgoing(topic, b"k%d" % n, b"") for n in range(20)])
    async with opened.log.consumer("readers", [topic]) as consumer:
        seen = await take(consumer, 20)
        await send(opened.log, [Outgoing(topic, b"k%d" % n, b"") for n in range(20)])
        others = await take(consumer, sum(record.at == there for record in seen), without={here})
        assert {record.at for record in others} == {there}
        empty = await consumer.fetch(max_records=10, timeout_seconds=0.01, without={here, there})
        assert not empty
        left = await take(consumer, sum(record.at == here for record in seen))
        assert {record.at for record in left} == {here}
        assert consumer.owns(here)
        assert consumer.owns(there)


async def test_a_rebalance_lets_go_at_once_and_waits_for_what_is_in_flight(opened: OpenLog) -> None:
    topic = await opened.topic("events", 2)
    every = {TopicPartition(topic, n) for n in range(2)}
    await send(opened.log, [Outgoing(topic, b"k%d" % n, b"") for n in range(20)])
    async with opened.log.consumer("readers", [topic]) as first:
        await take(first, 20)
        assert first.assigned() == every
        handling = ExitStack()
        handling.enter_context(first.in_flight)
        async with opened.log.consumer("readers", [topic]) as second, polled(second):
            await until(lambda: not all(first.owns(at) for at in every))
            for _ in range(20):
                await asyncio.sleep(0.01)
                assert not second.assigned(), "handed over while its records were being handled"
            # What was handled before the hand-over may still be committed.
            for at in every:
                await first.commit({at: 5})
            handling.close()
            async with polled(first):
                await until(lambda: len(first.assigned()) == len(second.assigned()) == 1)
                assert first.assigned() | second.assigned() == every
    lag = await opened.log.lag("readers", [topic])
    assert {at: entry.committed for at, entry in lag.items()} == dict.fromkeys(every, 5)


async def test_the_commit_of_a_lost_partition_is_harmless(opened: OpenLog) -> None:
    topic = await opened.topic("events", 2)
    await send(opened.log, [Outgoing(topic, b"k%d" % n, b"") for n in range(20)])
    async with opened.log.consumer("readers", [topic]) as first:
        await take(first, 20)
        async with opened.log.consumer("readers", [topic]) as second:
            async with polled(first), polled(second):
                await until(lambda: len(first.assigned()) == len(second.assigned()) == 1)
            (theirs,) = second.assigned()
            await first.commit({theirs: 3})
            assert not first.owns(theirs)
            assert (await opened.log.lag("readers", [topic]))[theirs].committed is None


async def test_seek_committed_gives_the_records_again(opened: OpenLog) -> None:
    topic = await opened.topic("events")
    at = TopicPartition(topic, 0)
    await send(opened.log, numbered(topic, b"k", 10))
    async with opened.log.consumer("readers", [topic]) as consumer:
        await take(consumer, 10)
        await consumer.seek_committed(at)
        assert [record.offset for record in await take(consumer, 10)] == list(range(10))
        await consumer.commit({at: 7})
        await consumer.seek_committed(at)
        assert [record.offset for record in await take(consumer, 3)] == [7, 8, 9]
        await consumer.seek_committed(TopicPartition(topic, 9))


async def test_a_stopped_partition_gives_nothing_and_the_others_go_on(opened: OpenLog) -> None:
    topic = await opened.topic("events", 2)
    keys = {partition_of(key, 2): key for key in (b"a", b"b", b"c", b"d", b"e")}
    async with opened.log.producer() as producer:
        for key in keys.values():
            await producer.send(numbered(topic, key, 5))
        async with opened.log.consumer("readers", [topic]) as consumer:
            await take(consumer, 10)
            consumer.stop_partition(TopicPartition(topic, 0))
            for key in keys.values():
                await producer.send(numbered(topic, key, 5, start=5))
            assert {record.partition for record in await take(consumer, 5)} == {1}
            assert not await consumer.fetch(max_records=10, timeout_seconds=0.5)
            assert consumer.owns(TopicPartition(topic, 0))
        async with opened.log.consumer("readers", [topic]) as consumer:
            assert {record.partition for record in await take(consumer, 20)} == {0, 1}


async def test_an_offset_below_the_start_stops_and_says_so(opened: OpenLog) -> None:
    topic = await opened.topic("events")
    at = TopicPartition(topic, 0)
    await send(opened.log, numbered(topic, b"k", 10))
    async with opened.log.consumer("readers", [topic]) as consumer:
        await take(consumer, 10)
        await consumer.commit({at: 3})
    await opened.delete_before(topic, 0, 6)
    async with opened.log.consumer("readers", [topic]) as consumer:
        for _ in range(2):
            with pytest.raises(
                OffsetLost, match=r"3 of topic events partition 0.* below the log's start 6"
            ):
                await take(consumer, 1)
    async with opened.log.consumer("newcomers", [topic]) as consumer:
        assert [record.offset for record in await take(consumer, 4)] == [6, 7, 8, 9]
    assert (await opened.log.lag("readers", [topic]))[at] == Lag(start=6, end=10, committed=3)
    assert [record.offset for record in await opened.log.read(at, 0, max_records=2)] == [6, 7]


async def test_lag_tells_start_end_and_committed(opened: OpenLog) -> None:
    topic = await opened.topic("events", 2)
    other = await opened.topic("others")
    await send(opened.log, [Outgoing(topic, b"k%d" % n, b"") for n in range(20)])
    lag = await opened.log.lag("readers", [topic, other])
    assert sum(entry.records for entry in lag.values()) == 20
    assert lag[TopicPartition(other, 0)] == Lag(0, 0, None)
    async with opened.log.consumer("readers", [topic]) as consumer:
        records = await take(consumer, 20)
        for record in records:
            await consumer.commit({record.at: record.offset + 1})
    assert sum(entry.records for entry in (await opened.log.lag("readers", [topic])).values()) == 0
    with pytest.raises(Unavailable, match="nowhere"):
        await opened.log.lag("readers", ["nowhere"])


async def test_read_pages_through_a_partition_and_never_waits(opened: OpenLog) -> None:
    topic = await opened.topic("customers", compacted=True)
    at = TopicPartition(topic, 0)
    assert await opened.log.read(at, 0, max_records=10) == []
    await send(opened.log, numbered(topic, b"k", 25))
    seen: list[int] = []
    while page := await opened.log.read(at, len(seen), max_records=10):
        assert len(page) <= 10
        seen += [record.offset for record in page]
    assert seen == list(range(25))
    began = time.monotonic()
    assert await opened.log.read(at, 25, max_records=10) == []
    assert [record.offset for record in await opened.log.read(at, 7, max_records=1)] == [7]
    assert time.monotonic() - began < 2


async def test_a_record_of_the_largest_size_is_read_whole(opened: OpenLog) -> None:
    """Far larger than what a look at a partition asks for."""
    topic = await opened.topic("events")
    at = TopicPartition(topic, 0)
    largest = b"x" * (MAX_RECORD_BYTES - 100)
    await send(
        opened.log, [Outgoing(topic, b"k", value) for value in (b"before", largest, b"after")]
    )
    seen: list[bytes | None] = []
    while page := await opened.log.read(at, len(seen), max_records=1):
        seen += [record.value for record in page]
    assert seen == [b"before", largest, b"after"]


async def test_a_group_goes_back_to_a_moment_while_nobody_reads_for_it(opened: OpenLog) -> None:
    topic = await opened.topic("events", 2)
    await send(opened.log, [Outgoing(topic, b"k%d" % n, b"early") for n in range(10)])
    await asyncio.sleep(0.02)
    moment = datetime.now(UTC)
    await asyncio.sleep(0.02)
    await send(opened.log, [Outgoing(topic, b"k%d" % n, b"late") for n in range(10)])
    firsts = await opened.log.first_since([topic], moment)
    assert sum(firsts.values()) == 10
    ends = await opened.log.first_since([topic], moment + timedelta(hours=1))
    assert sum(ends.values()) == 20
    assert set((await opened.log.first_since([topic], moment - timedelta(hours=1))).values()) == {0}
    async with opened.log.consumer("readers", [topic]) as consumer:
        for record in await take(consumer, 20):
            await consumer.commit({record.at: record.offset + 1})
        with pytest.raises(Unavailable, match="group readers has members"):
            await opened.log.move("readers", firsts)
    await opened.log.move("readers", firsts)
    async with opened.log.consumer("readers", [topic]) as consumer:
        again = await take(consumer, 10)
        assert {record.value for record in again} == {b"late"}
        assert len({record.key for record in again}) == 10


async def test_topics_are_created_once_and_differences_are_told(opened: OpenLog) -> None:
    specs = [TopicSpec("events", 3, 7 * DAY_MS), TopicSpec("customers", 2, None, compacted=True)]
    assert await opened.log.verify_topics(specs) == [
        "topic events does not exist",
        "topic customers does not exist",
    ]
    assert sorted(await opened.log.create_topics(specs)) == ["customers", "events"]
    assert await opened.log.create_topics(specs) == []
    assert await opened.log.verify_topics(specs) == []
    differences = await opened.log.verify_topics(
        [TopicSpec("events", 6, DAY_MS), TopicSpec("customers", 2, DAY_MS)]
    )
    assert any("events" in one and "3" in one and "6" in one for one in differences)
    assert any("events" in one and "retention" in one for one in differences)
    assert any("customers" in one and "compact" in one for one in differences)


async def test_a_record_too_large_is_refused_by_its_index_and_its_neighbours_land(
    opened: OpenLog,
) -> None:
    topic = await opened.topic("events")
    async with opened.log.producer() as producer:
        good = [
            asyncio.create_task(producer.send(numbered(topic, b"k", 5, n * 5))) for n in range(10)
        ]
        with pytest.raises(Refused, match="events") as refused:
            await producer.send(
                [Outgoing(topic, b"k", b"small"), Outgoing(topic, b"k", b"x" * 1_100_000)]
            )
        assert refused.value.index == 1
        await asyncio.gather(*good)
        await producer.send([Outgoing(topic, b"k", b"x" * 900_000)])
    records = await opened.log.read(TopicPartition(topic, 0), 0, max_records=1000)
    assert [record.value for record in records[:50]] == [b"%d" % n for n in range(50)]


async def test_an_unknown_topic_is_unavailable_until_it_is_created(log_url: str) -> None:
    async with (
        open_log(log_url.replace("send_timeout=20", "send_timeout=1")) as log,
        log.producer() as producer,
        log.consumer("readers", ["later"]) as consumer,
    ):
        with pytest.raises(Unavailable, match="later"):
            await producer.send([Outgoing("later", b"k", b"v")])
        with pytest.raises(Unavailable, match="later"):
            await consumer.fetch(max_records=1, timeout_seconds=1)
        await log.create_topics([TopicSpec("later", 1, DAY_MS)])
        await producer.send([Outgoing("later", b"k", b"v")])
        assert [record.value for record in await take(consumer, 1)] == [b"v"]


async def test_sending_nothing_is_nothing(opened: OpenLog) -> None:
    async with opened.log.producer() as producer:
        await producer.send([])


def test_the_partitioner_is_crc32_for_ever() -> None:
    assert partition_of(b"123456789", 2**32) == 0xCBF43926
    assert partition_of(b"acme/c-1", 12) == partition_of(b"acme/c-1", 12) < 12


async def test_what_was_fetched_before_a_partition_went_and_came_back_is_not_owned(
    opened: OpenLog,
) -> None:
    topic = await opened.topic("events", 2)
    at = {TopicPartition(topic, n) for n in range(2)}
    await send(opened.log, [Outgoing(topic, b"k%d" % n, b"") for n in range(20)])
    async with opened.log.consumer("readers", [topic]) as first:
        await take(first, 20)
        assert all(first.owns(one) for one in at)
        async with opened.log.consumer("readers", [topic]) as second:
            async with polled(first), polled(second):
                await until(lambda: len(first.assigned()) == len(second.assigned()) == 1)
            gone = at - first.assigned()
        await until(lambda: first.assigned() == at)
        assert not any(first.owns(one) for one in gone)
        again = await take(first, 20 if opened.kind == "kafka" else 1)
        assert {record.at for record in again} >= gone
        assert all(first.owns(one) for one in at)
