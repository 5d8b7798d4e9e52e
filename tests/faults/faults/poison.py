"""Records that can never be read, put on our own topics past our services, alone and as a flood."""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from shared.contracts.topics import READERS, Topic, dead_letter_topic
from tests.faults.distributed import Distributed
from tests.support import eventually

_FLOOD = 150
_LIMIT = 100
_UNREADABLE: tuple[bytes, ...] = (
    b"\xff\xfe{}",
    bytes(64),
    b'{"specversion": "1.0", "id": "cut',
    b"x" * 1_000_000,
    b'{"specversion": "1.0", "id": "n", "source": "/s", "type": "t", "data": {"x": NaN}}',
)
_SKIPPED = b"""{"specversion": "1.0", "id": "u", "source": "/s", "type": "afterword.unheard.of",
"subject": "s", "time": "2026-01-01T00:00:00Z", "schemaversion": "1.0", "data": {}}"""

Origin = tuple[str, int, int]


async def poison(lab: Distributed, rng: random.Random) -> None:
    """Each kind once on events and on responses: a dead letter with its origin and reason for every reader, nothing
    else held up. What has a type that is not known yet, or no value where that is allowed, is passed over."""
    key = f"{lab.workspace_name}/c-{rng.randrange(1000)}".encode()
    letters = lab.workload.ledger.letters
    async with _producer(lab) as producer:
        for topic in (Topic.EVENTS, Topic.RESPONSES):
            sent = [await _send(producer, lab, topic, key, value) for value in _UNREADABLE]
            if topic is Topic.EVENTS:
                sent.append(await _send(producer, lab, topic, key, None))
            else:
                await _send(producer, lab, topic, key, _SKIPPED)
                await _send(producer, lab, topic, key, None)
            keyless = await _send(producer, lab, topic, None, b"{}")
            for service in _readers(topic):
                letters[service] += len(sent)
                await _died(lab, topic, service, {*sent, keyless})


async def flood(lab: Distributed, rng: random.Random) -> None:
    """More in a row than any honest producer makes: that partition stops, says so, and is not moved past it; after
    its operator has moved the group past the flood it goes on."""
    topic, service = Topic.EVENTS, "trigger"
    key = f"{lab.workspace_name}/flood".encode()
    partition = rng.randrange(12)
    async with _producer(lab) as producer:
        batch = producer.create_batch()
        for _ in range(_FLOOD):
            batch.append(key=key, value=b"{", timestamp=int(time.time() * 1000))
        batch.close()
        future = await producer.send_batch(batch, lab.prefix + topic, partition=partition)
        first = (await future).offset
    path = f"/v1/operations/{service}/status"

    async def stopped() -> bool:
        loop = (await lab.workload.client.get(path)).json()["loop"]
        return any(at["partition"] == partition for at in loop["stopped"])

    await eventually(stopped, seconds=60, every=0.2, what="a partition stopped by a flood")
    committed = await _committed(lab, service, topic, partition)
    assert committed is None or committed <= first, (
        f"the group went on to {committed}, past {first}"
    )
    died = await _dead(lab, topic, service)
    mine = [origin for origin, _ in died if origin[1] == partition and origin[2] >= first]
    assert len(mine) >= _LIMIT, f"only {len(mine)} dead letters before the partition stopped"
    lab.workload.ledger.letters[service] += len(mine)
    (process,) = lab.processes(service)
    await asyncio.to_thread(process.end)
    where = (lab.prefix + service, lab.prefix + topic, partition, first + _FLOOD)
    await asyncio.to_thread(lab.broker.move_group, *where)
    await lab.restart(process)


@asynccontextmanager
async def _producer(lab: Distributed) -> AsyncIterator[AIOKafkaProducer]:
    producer = AIOKafkaProducer(
        bootstrap_servers=lab.broker.bootstrap, max_request_size=1_048_576, acks="all"
    )
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


async def _send(
    producer: AIOKafkaProducer, lab: Distributed, topic: str, key: bytes | None, value: bytes | None
) -> Origin:
    told = await producer.send_and_wait(lab.prefix + topic, value, key=key)
    return topic, told.partition, told.offset


def _readers(topic: Topic) -> list[str]:
    return [service for service, topics in READERS.items() if topic in topics]


async def _died(lab: Distributed, topic: str, service: str, wanted: set[Origin]) -> None:
    async def all_there() -> bool:
        return wanted <= {origin for origin, reason in await _dead(lab, topic, service) if reason}

    await eventually(all_there, seconds=60, every=0.5, what=f"{len(wanted)} letters of {service}")


async def _dead(lab: Distributed, topic: str, service: str) -> list[tuple[Origin, str]]:
    """Origin and reason of each dead letter, read as any consumer can."""
    at = TopicPartition(lab.prefix + dead_letter_topic(topic, service), 0)
    consumer = AIOKafkaConsumer(bootstrap_servers=lab.broker.bootstrap, enable_auto_commit=False)
    await consumer.start()
    found: list[tuple[Origin, str]] = []
    try:
        consumer.assign([at])
        await consumer.seek_to_beginning(at)
        end = (await consumer.end_offsets([at]))[at]
        while await consumer.position(at) < end:
            for record in (await consumer.getmany(at, timeout_ms=500)).get(at, []):
                told = {name: value.decode() for name, value in record.headers}
                origin = tuple(told[f"afterword-{n}"] for n in ("topic", "partition", "offset"))
                where = (origin[0], int(origin[1]), int(origin[2]))
                found.append((where, told["afterword-reason"]))
    finally:
        await consumer.stop()
    return found


async def _committed(lab: Distributed, service: str, topic: str, partition: int) -> int | None:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=lab.broker.bootstrap,
        group_id=lab.prefix + service,
        enable_auto_commit=False,
    )
    await consumer.start()
    try:
        at = TopicPartition(lab.prefix + topic, partition)
        consumer.assign([at])
        offset: int | None = await consumer.committed(at)
        return offset
    finally:
        await consumer.stop()
