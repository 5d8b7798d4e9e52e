"""Keeps one Kafka client connected in the background, so that a missing broker never ends a process."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import structlog
from aiokafka.errors import KafkaConnectionError, KafkaError

from shared.errors import Unavailable
from shared.log.kafka.diagnosis import diagnose
from shared.log.kafka.settings import CONNECT_BACKOFF_SECONDS, KafkaSettings, reason

log = structlog.get_logger()
Client = TypeVar("Client")


class Connection(Generic[Client]):
    """A client that is started with backoff until it works, and replaced when it is broken.

    `start` makes and starts a client, stopping it again when it fails; `stop` ends one.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        what: str,
        start: Callable[[], Awaitable[Client]],
        stop: Callable[[Client], Awaitable[None]],
    ):
        self._settings = settings
        self._what = what
        self._start = start
        self._stop = stop
        self._task: asyncio.Task[Client] | None = None
        self._stopping: set[asyncio.Task[None]] = set()
        self._error = ""

    @property
    def client(self) -> Client | None:
        """The client when it is connected."""
        task = self._task
        return task.result() if task is not None and task.done() and not task.cancelled() else None

    def begin(self) -> None:
        """Start connecting unless that is done or under way."""
        _ = self._connecting()

    async def connected(self) -> Client:
        """The connected client, however long that takes."""
        return await asyncio.shield(self._connecting())

    async def get(self, timeout_seconds: float) -> Client:
        """The connected client; raises `Unavailable` when there is none in time."""
        if (client := self.client) is not None:
            return client
        task = self._connecting()
        await asyncio.wait({task}, timeout=max(timeout_seconds, 0))
        if (client := self.client) is None:
            raise Unavailable(
                f"no connection to Kafka for {self._what} yet: {self._error or 'still connecting'}"
            )
        return client

    def replace(self, broken: Client) -> None:
        """Give a broken client up and connect anew; its end happens in the background."""
        if self.client is broken:
            self._task = None
            ending = asyncio.create_task(self._end(broken))
            self._stopping.add(ending)
            ending.add_done_callback(self._stopping.discard)
            self.begin()

    async def close(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})
            if not task.cancelled():
                await self._end(task.result())
        if self._stopping:
            await asyncio.wait(self._stopping)

    def _connecting(self) -> "asyncio.Task[Client]":
        if self._task is None:
            self._task = asyncio.create_task(self._connect(), name=f"connect {self._what}")
        return self._task

    async def _connect(self) -> Client:
        for attempt in itertools.count():
            try:
                client = await self._start()
            except Exception as error:  # noqa: BLE001 - nobody awaits this task: say it, and try again
                said = str(error) if isinstance(error, Unavailable) else reason(error)
                if isinstance(
                    error, KafkaConnectionError
                ):  # it says no more than that there is none
                    said = await diagnose(self._settings) or said
                self._error = said
                delay = CONNECT_BACKOFF_SECONDS[min(attempt, len(CONNECT_BACKOFF_SECONDS) - 1)]
                log.warning(
                    "kafka_connect_failed",
                    client=self._what,
                    error=self._error,
                    retry_seconds=delay,
                )
                await asyncio.sleep(delay)
            else:
                self._error = ""
                return client
        raise AssertionError("counting never ends")

    async def _end(self, client: Client) -> None:
        try:
            await self._stop(client)
        except (KafkaError, OSError, TimeoutError) as error:
            log.warning("kafka_stop_failed", client=self._what, error=reason(error))
