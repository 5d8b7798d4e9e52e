"""Takes the gauges that nobody tells as they change: how far a service is behind the log, its clock and its outbox.

Every replica takes them of the whole group and of the whole database, so whoever reads them takes the largest. What
could not be taken keeps its last value, and `afterword_measured_timestamp_seconds` says how old that is.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress

import sqlalchemy as sa

from shared.db import Database, Tx
from shared.errors import Unavailable
from shared.instruments import (
    DATABASE_CONNECTIONS,
    DATABASE_CONNECTIONS_MOST,
    DUE_OLDEST_SECONDS,
    LAG_RECORDS,
    LAG_SECONDS,
    MEASURED,
    RETRIES,
)
from shared.log import Lag, Log, TopicPartition
from shared.outbox import measure
from shared.telemetry import log

_LOOK_SECONDS = 15.0

Overdue = Callable[[Tx], Awaitable[Mapping[str, float]]]
"""For each kind of work that a clock makes due, for how many seconds its oldest row has been; 0 where none is."""


async def nothing_due(tx: Tx) -> Mapping[str, float]:
    """Of a service that a clock makes nothing due for."""
    return {}


class Measuring:
    """Looks every 15 seconds, and never ends the process it looks at."""

    def __init__(
        self,
        log: Log,
        topics: tuple[str, ...],
        database: Database,
        outbox: sa.Table,
        overdue: Overdue,
    ) -> None:
        self._service = database.service
        self._log = log
        self._topics = topics
        self._database = database
        self._outbox = outbox
        self._overdue = overdue
        self._retries = RETRIES.labels(database.service)
        self._before: Mapping[TopicPartition, Lag] | None = None

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            await self.look()
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), _LOOK_SECONDS)

    async def look(self) -> None:
        """Take all of them, now."""
        await self._take("log", self._look_at_log)
        await self._take("database", self._look_at_database)

    async def _take(self, of: str, act: Callable[[], Awaitable[None]]) -> None:
        try:
            await act()
        except Unavailable as error:
            self._retries.inc()
            log.info("not_measured", service=self._service, of=of, reason=str(error))
        except Exception as error:  # noqa: BLE001 - what cannot be measured must not end what is measured
            log.error("measuring_failed", service=self._service, of=of, exc_info=error)
        else:
            MEASURED.labels(self._service, of).set_to_current_time()

    async def _look_at_log(self) -> None:
        lags = await self._log.lag(self._service, self._topics) if self._topics else {}
        records = dict.fromkeys(self._topics, 0)
        seconds = dict.fromkeys(self._topics, 0.0)
        for at, lag in lags.items():
            records[at.topic] += lag.records
            seconds[at.topic] = max(seconds[at.topic], await self._age(at, lag))
        self._before = lags
        for topic in self._topics:
            LAG_RECORDS.labels(self._service, topic).set(records[topic])
            LAG_SECONDS.labels(self._service, topic).set(seconds[topic])

    async def _age(self, at: TopicPartition, lag: Lag) -> float:
        """The age of the oldest record that is not committed; 0 when all that stood here at the last look is."""
        if not lag.records:
            return 0.0
        oldest = max(lag.start, lag.committed if lag.committed is not None else lag.start)
        if self._before is not None and at in self._before and oldest >= self._before[at].end:
            return 0.0
        found = await self._log.read(at, oldest, max_records=1)
        return max(0.0, time.time() - found[0].timestamp_ms / 1000) if found else 0.0

    async def _look_at_database(self) -> None:
        used, most = self._database.connections()
        DATABASE_CONNECTIONS.labels(self._service).set(used)
        DATABASE_CONNECTIONS_MOST.labels(self._service).set(most)
        await measure(self._database, self._outbox)
        async with self._database.read() as tx:
            overdue = await self._overdue(tx)
        for work, seconds in overdue.items():
            DUE_OLDEST_SECONDS.labels(self._service, work).set(seconds)
