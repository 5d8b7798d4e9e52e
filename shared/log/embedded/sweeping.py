"""Deletes what the embedded log need not keep: records past their retention, and superseded keys."""

import asyncio
import time

import structlog

from shared.errors import Unavailable
from shared.log import TopicPartition
from shared.log.embedded.storage import Storage

log = structlog.get_logger()
BATCH = 1_000
TOMBSTONES_MS = 30 * 24 * 60 * 60 * 1000


async def sweep_for_ever(storage: Storage, every_seconds: float) -> None:
    """Sweep again and again, in small batches between which others write; a failure is tried again next time."""
    compacted_to: dict[TopicPartition, int] = {}
    while True:
        await asyncio.sleep(every_seconds)
        try:
            for spec in list(storage.topics.values()):
                for at in storage.partitions([spec.name]):
                    if spec.compacted:
                        await _compact(storage, at, compacted_to)
                    elif spec.retention_ms is not None:
                        await _expire(storage, at, spec.retention_ms)
        except Unavailable as error:
            log.warning("sweep_failed", error=str(error))


async def _expire(storage: Storage, at: TopicPartition, retention_ms: int) -> None:
    oldest = time.time_ns() // 1_000_000 - retention_ms
    while True:
        first, _ = storage.bounds(at)
        records = await storage.read(at, first, BATCH)
        expired = [record.offset for record in records if record.timestamp_ms < oldest]
        if not expired:
            return
        await storage.delete(at, expired, expired[-1] + 1)


async def _compact(
    storage: Storage, at: TopicPartition, compacted_to: dict[TopicPartition, int]
) -> None:
    """Keep the last record of each key; a tombstone goes after 30 days. The partition's start stays."""
    first, end = storage.bounds(at)
    if compacted_to.get(at) == end:
        return
    latest: dict[bytes | None, int] = {}
    superseded: list[int] = []
    too_old = time.time_ns() // 1_000_000 - TOMBSTONES_MS
    offset = first
    while records := await storage.read(at, offset, BATCH):
        for record in records:
            if (before := latest.pop(record.key, None)) is not None:
                superseded.append(before)
            if record.value is None and record.timestamp_ms < too_old:
                superseded.append(record.offset)
            else:
                latest[record.key] = record.offset
        offset = records[-1].offset + 1
    for start in range(0, len(superseded), BATCH):
        await storage.delete(at, superseded[start : start + BATCH], first)
    compacted_to[at] = end
