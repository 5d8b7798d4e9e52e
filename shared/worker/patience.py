"""Does a thing again and again while a dependency is away, for as long as its partitions are ours."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection

from shared.errors import Unavailable
from shared.instruments import RETRIES
from shared.log import Consumer, TopicPartition
from shared.telemetry import log
from shared.worker.status import LoopStatus

BACKOFF_SECONDS = (0.1, 0.5, 1.0, 2.0, 5.0)


class GaveUp(Exception):
    """The partition was revoked or stopped, or the process stops. `end` is the offset that all is done up to, where
    that is known; without it nothing of the batch at hand is committed."""

    def __init__(self, end: int | None = None) -> None:
        super().__init__()
        self.end = end


class Patience:
    """The first of the three failures, a dependency that is away, for one member of a group."""

    def __init__(self, service: str, consumer: Consumer, status: LoopStatus) -> None:
        self.stop = asyncio.Event()
        self._service = service
        self._retries = RETRIES.labels(service)
        self._consumer = consumer
        self._status = status

    async def persist(
        self, partitions: Collection[TopicPartition], act: Callable[[], Awaitable[object]]
    ) -> None:
        """Do it until no dependency is away. Raises `GaveUp` once a partition is taken or the process stops."""
        attempt = 0
        while True:
            try:
                await act()
            except Unavailable as error:
                await self.wait(partitions, attempt, error)
                attempt += 1
            else:
                self.over(partitions)
                self._status.last_progress = time.monotonic()
                return
            if self.stop.is_set() or not all(map(self._consumer.owns, partitions)):
                raise GaveUp

    async def wait(
        self,
        partitions: Collection[TopicPartition | None],
        attempt: int,
        error: Unavailable,
    ) -> None:
        """Say what is waited for, and wait a little longer each time."""
        self._status.waiting.update(dict.fromkeys(partitions, str(error)))
        self._retries.inc()
        log.warning("dependency_away", service=self._service, reason=str(error), attempt=attempt)
        await asyncio.sleep(BACKOFF_SECONDS[min(attempt, len(BACKOFF_SECONDS) - 1)])

    def over(self, partitions: Collection[TopicPartition | None]) -> None:
        """Nothing is waited for any more."""
        for partition in partitions:
            self._status.waiting.pop(partition, None)
