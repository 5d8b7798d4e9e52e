"""Ends a process whose consumer stands still although there are records and the broker answers."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress

from shared.errors import AfterwordError, Unavailable
from shared.log import Consumer, Lag, Log, TopicPartition
from shared.worker import LoopStatus


class Stuck(AfterwordError):
    """The loop makes no progress and nothing it waits for explains it; a restart is the cure."""


async def watch(
    log: Log,
    consumer: Consumer,
    status: LoopStatus,
    *,
    group: str,
    topics: Sequence[str],
    stop: asyncio.Event,
    window_seconds: float = 120.0,
) -> None:
    """Look once per window; raise `Stuck` when a partition of ours had records all the while and none was handled.

    A loop that waits for a dependency, or a partition that was stopped on purpose, is not stuck. Without an
    assignment all of the group count: a member that never rejoined looks idle from inside.
    """
    before: dict[TopicPartition, Lag] = {}
    while not stop.is_set():
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), window_seconds)
        try:
            after = dict(await log.lag(group, topics))
        except Unavailable:
            before = {}
            continue
        idle = time.monotonic() - status.last_progress > window_seconds
        if idle and status.waiting_for is None and not stop.is_set():
            held = consumer.assigned() if consumer.joined() else frozenset(after)
            ours = held - set(status.stopped)
            still = [
                p for p in ours if p in before and p in after and _stands_still(before[p], after[p])
            ]
            if still:
                raise Stuck(
                    f"no record of {', '.join(f'{p.topic}/{p.partition}' for p in still)} handled for {window_seconds:.0f} s"
                )
        before = after


def _stands_still(before: Lag, after: Lag) -> bool:
    return before.records > 0 and after.records > 0 and before.committed == after.committed
