"""What stands in the log, read and written past our services as any client of the broker can."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from shared.contracts.topics import PARTITIONS, dead_letter_topic
from tests.faults.distributed import Distributed
from tests.support import eventually

Origin = tuple[str, int, int]
"""Topic, partition and offset of a record."""


@asynccontextmanager
async def producing(lab: Distributed) -> AsyncIterator[AIOKafkaProducer]:
    """A producer of anybody's."""
    producer = AIOKafkaProducer(
        bootstrap_servers=lab.bootstrap, max_request_size=1_048_576, acks="all"
    )
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


async def send(
    producer: AIOKafkaProducer, lab: Distributed, topic: str, key: bytes | None, value: bytes | None
) -> Origin:
    """Put one record on a topic of ours."""
    told = await producer.send_and_wait(lab.prefix + topic, value, key=key)
    return topic, told.partition, told.offset


async def dead_letters(lab: Distributed, topic: str, service: str) -> list[tuple[Origin, str]]:
    """Origin and reason of each dead letter."""
    found: list[tuple[Origin, str]] = []
    for record in await read(lab, dead_letter_topic(topic, service), 0, 0):
        told = {name: value.decode() for name, value in record.headers}
        name, partition, offset = (told[f"afterword-{n}"] for n in ("topic", "partition", "offset"))
        found.append(((name, int(partition), int(offset)), told["afterword-reason"]))
    return found


async def read(
    lab: Distributed, topic: str, partition: int, offset: int
) -> Sequence[ConsumerRecord]:
    """Everything from an offset to the end."""
    at = TopicPartition(lab.prefix + topic, partition)
    found: list[ConsumerRecord] = []
    async with _consuming(lab) as consumer:
        consumer.assign([at])
        begins = (await consumer.beginning_offsets([at]))[at]
        ends = (await consumer.end_offsets([at]))[at]
        consumer.seek(at, max(begins, offset))
        while await consumer.position(at) < ends:
            found += (await consumer.getmany(at, timeout_ms=500)).get(at, [])
    return found


async def committed(lab: Distributed, service: str, topic: str) -> dict[int, int]:
    """Where the group of a service goes on, in each partition that it has committed."""
    async with _administering(lab) as admin:
        offsets = await admin.list_consumer_group_offsets(lab.prefix + service)
    return {
        at.partition: found.offset
        for at, found in offsets.items()
        if at.topic == lab.prefix + topic and found.offset >= 0
    }


async def ends(lab: Distributed, topic: str) -> dict[int, int]:
    """Where each partition ends."""
    async with _consuming(lab) as consumer:
        all_of_them = [TopicPartition(lab.prefix + topic, number) for number in range(PARTITIONS)]
        found = await consumer.end_offsets(all_of_them)
    return {at.partition: offset for at, offset in found.items()}


async def move_group(
    lab: Distributed, service: str, topic: str, partition: int, offset: int
) -> None:
    """Do what an operator does: have the group of a service that has ended go on elsewhere. Its last member may be
    missed only once its session has ended."""
    where = (lab.prefix + service, lab.prefix + topic, partition, offset)

    async def moved() -> bool:
        try:
            await asyncio.to_thread(lab.broker.move_group, *where)
        except RuntimeError:
            return False
        return True

    await eventually(moved, seconds=60, every=0.5, what=f"moving the group of {service}")


async def delete_before(lab: Distributed, topic: str, partition: int, offset: int) -> None:
    """Delete what stands before an offset, as retention does."""
    async with _administering(lab) as admin:
        at = TopicPartition(lab.prefix + topic, partition)
        await admin.delete_records({at: RecordsToDelete(before_offset=offset)})


@asynccontextmanager
async def _administering(lab: Distributed) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(bootstrap_servers=lab.bootstrap)
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()


@asynccontextmanager
async def _consuming(lab: Distributed) -> AsyncIterator[AIOKafkaConsumer]:
    """A consumer of no group."""
    consumer = AIOKafkaConsumer(bootstrap_servers=lab.bootstrap, group_id=None)
    await consumer.start()
    try:
        yield consumer
    finally:
        await consumer.stop()
