"""What only Kafka can do to us: a broker that is not there, dies, comes back, or refuses a record."""

import asyncio
import time
import uuid

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from deploy.local.kafka import KafkaBroker
from deploy.local.ports import free_port
from shared.errors import Refused, StartupError, Unavailable
from shared.log import Lag, Outgoing, TopicPartition, TopicSpec
from shared.log.kafka.settings import REBALANCE_SECONDS, KafkaSettings
from shared.log.opening import open_log
from tests.integration.log.conftest import DAY_MS
from tests.integration.log.test_contract import numbered, take


def url_of(broker: KafkaBroker, send_timeout: float = 10) -> str:
    return f"{broker.url}?prefix=k{uuid.uuid4().hex[:8]}.&send_timeout={send_timeout:g}"


@pytest.mark.parametrize(
    "url",
    [
        "kafka://",
        "kafka://h",
        "kafka://h:soon",
        "kafka://h:0",
        "kafka://h:1?colour=red",
        "kafka://h:1?send_timeout=soon",
        "kafka://h:1/topic",
    ],
)
async def test_a_url_that_says_nothing_sensible_is_told(url: str) -> None:
    with pytest.raises(StartupError, match="Kafka URL"):
        async with open_log(url):
            pass


async def test_whoever_waits_for_killed_members_waits_for_their_session() -> None:
    for timeout in (6, 90):
        async with open_log(f"kafka://127.0.0.1:1?session_timeout={timeout}") as log:
            assert log.lingering_seconds > timeout + REBALANCE_SECONDS


async def test_without_a_broker_everything_opens_and_says_unavailable_in_time() -> None:
    began = time.monotonic()
    async with (
        open_log(f"kafka://127.0.0.1:{free_port()}?send_timeout=0.5") as log,
        log.producer() as producer,
        log.consumer("readers", ["events"]) as consumer,
    ):
        with pytest.raises(Unavailable, match="no connection"):
            await producer.send([Outgoing("events", b"k", b"v")])
        with pytest.raises(Unavailable, match="no connection"):
            await consumer.fetch(max_records=1, timeout_seconds=0.5)
        assert not consumer.owns(TopicPartition("events", 0))
    assert time.monotonic() - began < 8


async def test_a_broker_that_comes_later_is_found_unaided(kafka_broker: KafkaBroker) -> None:
    url = url_of(kafka_broker, send_timeout=0.5)
    async with open_log(url) as log:
        await log.create_topics([TopicSpec("events", 1, DAY_MS)])
    await asyncio.to_thread(kafka_broker.stop)
    try:
        async with (
            open_log(url) as log,
            log.producer() as producer,
            log.consumer("readers", ["events"]) as consumer,
        ):
            with pytest.raises(Unavailable):
                await producer.send([Outgoing("events", b"k", b"lost")])
            await asyncio.to_thread(kafka_broker.start)
            deadline = time.monotonic() + 30
            while True:
                try:
                    await producer.send([Outgoing("events", b"k", b"v")])
                    break
                except Unavailable:
                    assert time.monotonic() < deadline
            # One that timed out may have landed all the same.
            assert {record.value for record in await take(consumer, 1)} == {b"v"}
    finally:
        await asyncio.to_thread(kafka_broker.restart)


async def test_a_killed_broker_loses_nothing_acknowledged(kafka_broker: KafkaBroker) -> None:
    acknowledged: list[bytes] = []
    async with (
        open_log(url_of(kafka_broker, send_timeout=1)) as log,
        log.producer() as producer,
    ):
        await log.create_topics([TopicSpec("events", 2, DAY_MS)])
        stop = asyncio.Event()
        unavailable = 0

        async def work(worker: int) -> None:
            nonlocal unavailable
            n = 0
            while not stop.is_set():
                value = b"%d/%d" % (worker, n)
                n += 1
                try:
                    await producer.send([Outgoing("events", b"%d" % worker, value)])
                    acknowledged.append(value)
                except Unavailable:
                    unavailable += 1

        async with log.consumer("readers", ["events"]) as consumer, asyncio.TaskGroup() as group:
            for worker in range(8):
                group.create_task(work(worker))
            seen = {record.value for record in await take(consumer, 100)}
            try:
                await asyncio.to_thread(kafka_broker.kill)
                await asyncio.sleep(2)
            finally:
                await asyncio.to_thread(kafka_broker.start)
            before = len(acknowledged)
            deadline = time.monotonic() + 60
            while len(acknowledged) < before + 500:
                assert time.monotonic() < deadline, "the producer did not recover"
                await asyncio.sleep(0.05)
            stop.set()
            deadline = time.monotonic() + 60
            while not set(acknowledged) <= seen:
                assert time.monotonic() < deadline, "the consumer did not recover"
                seen |= {record.value for record in await take(consumer, 1)}
        assert unavailable
        async with log.consumer("checkers", ["events"]) as consumer:
            ends = await log.lag("checkers", ["events"])
            records = await take(consumer, sum(entry.end for entry in ends.values()))
        values = [record.value for record in records]
        assert set(acknowledged) <= set(values)
        assert len(values) == len(set(values)), "the idempotent producer wrote twice"
        for worker in range(8):
            mine = [
                int(value.split(b"/")[1])
                for value in values
                if value and value.startswith(b"%d/" % worker)
            ]
            assert mine == sorted(mine)


async def test_what_the_broker_refuses_is_found_in_its_batch_and_the_rest_lands(
    kafka_broker: KafkaBroker,
) -> None:
    url = url_of(kafka_broker)
    settings = KafkaSettings.parse(url)
    async with open_log(url) as log, log.producer() as producer:
        await log.create_topics([TopicSpec("events", 1, DAY_MS)])
        admin = AIOKafkaAdminClient(**settings.client_options(10))
        await admin.start()
        limit = ConfigResource(
            ConfigResourceType.TOPIC,
            settings.there("events"),
            {"max.message.bytes": "2000", "message.timestamp.type": "LogAppendTime"},
        )
        await admin.alter_configs([limit])
        await admin.close()
        await producer.send(numbered("events", b"k", 1))
        outcomes = await asyncio.gather(
            producer.send(numbered("events", b"k", 20, start=1)),
            producer.send(
                [Outgoing("events", b"k", b"small"), Outgoing("events", b"k", b"x" * 5000)]
            ),
            producer.send(numbered("events", b"k", 20, start=21)),
            return_exceptions=True,
        )
        assert not isinstance(outcomes[0], BaseException)
        assert not isinstance(outcomes[2], BaseException)
        assert isinstance(outcomes[1], Refused)
        assert outcomes[1].index == 1
        for n in range(41, 61):
            await producer.send(numbered("events", b"k", 1, start=n))
        records = await log.read(TopicPartition("events", 0), 0, max_records=1000)
        values = [record.value for record in records if record.value != b"small"]
        assert values == [b"%d" % n for n in range(61)]


async def test_many_sends_that_time_out_leave_no_memory_behind(kafka_broker: KafkaBroker) -> None:
    async with open_log(url_of(kafka_broker, send_timeout=0.3)) as log, log.producer() as producer:
        await log.create_topics([TopicSpec("events", 1, DAY_MS)])
        await producer.send(numbered("events", b"k", 1))
        try:
            await asyncio.to_thread(kafka_broker.kill)
            for _ in range(3):
                outcomes = await asyncio.gather(
                    *(producer.send(numbered("events", b"k", 10)) for _ in range(200)),
                    return_exceptions=True,
                )
                assert all(isinstance(outcome, Unavailable) for outcome in outcomes)
            lanes = producer._lanes["events"]  # type: ignore[attr-defined]
            assert sum(len(lane.waiting) for lane in lanes) == 0
        finally:
            await asyncio.to_thread(kafka_broker.start)


@pytest.mark.parametrize("task", ["_fetcher._fetch_task", "_coordinator._coordination_task"])
async def test_a_client_whose_own_task_ended_is_replaced(
    kafka_broker: KafkaBroker, task: str
) -> None:
    async with (
        open_log(url_of(kafka_broker)) as log,
        log.producer() as producer,
        log.consumer("readers", ["events"]) as consumer,
    ):
        await log.create_topics([TopicSpec("events", 1, DAY_MS)])
        await producer.send(numbered("events", b"k", 1))
        await take(consumer, 1)
        await consumer.commit({TopicPartition("events", 0): 1})
        part, name = task.split(".")
        client = consumer._connection.client  # type: ignore[attr-defined]
        getattr(getattr(client, part), name).cancel()
        with pytest.raises(Unavailable, match="died"):
            await consumer.fetch(max_records=1, timeout_seconds=0.2)
        await producer.send(numbered("events", b"k", 1, start=1))
        assert [record.value for record in await take(consumer, 1)] == [b"1"]


async def test_an_offset_that_another_committed_is_told_from_ours(
    kafka_broker: KafkaBroker,
) -> None:
    url = url_of(kafka_broker)
    settings = KafkaSettings.parse(url)
    at = TopicPartition("events", 0)
    async with open_log(url) as log:
        await log.create_topics([TopicSpec("events", 1, DAY_MS)])
        async with log.producer() as producer:
            await producer.send(numbered("events", b"k", 3))
        async with log.consumer("readers", ["events"]) as consumer:
            await take(consumer, 3)
            await consumer.commit({at: 2})
        assert (await log.lag("readers", ["events"]))[at] == Lag(0, 3, 2)
        operator = AIOKafkaConsumer(
            bootstrap_servers=kafka_broker.bootstrap,
            group_id=settings.there("readers"),
            enable_auto_commit=False,
        )
        await operator.start()
        try:
            there = settings.theirs(at)
            operator.assign([there])
            await operator.commit({there: 3})
        finally:
            await operator.stop()
        assert (await log.lag("readers", ["events"]))[at] == Lag(0, 3, 3, moved=True)
        await log.move("readers", {at: 1})
        assert (await log.lag("readers", ["events"]))[at] == Lag(0, 3, 1)
