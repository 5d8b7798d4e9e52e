"""How far the customers have been read: nobody is asked while a stop may stand among what is unread."""

import asyncio
from dataclasses import dataclass
from typing import Final

from services.trigger.store import customers
from services.trigger.tables import positions
from services.trigger.worker import Handlers
from shared.contracts.envelope import decode_record
from shared.contracts.topics import Topic
from shared.db import now
from shared.errors import Unavailable, Undecodable, UnknownMajor
from shared.log import Log, Record, TopicPartition
from shared.positions import held, load_positions
from shared.telemetry import log

_TAIL_RECORDS: Final = 100


@dataclass(frozen=True)
class FreshnessWatch:
    """Notes up to when everything appended to `customers` stands in the database."""

    handlers: Handlers
    log: Log

    async def look(self) -> bool:
        """Compare the ends of the topic with our positions; True when nothing is missing. Raises `Unavailable`."""
        database = self.handlers.database
        async with database.read() as tx:
            asked_at = await now(tx)
        ends = await self.log.lag("trigger", [Topic.CUSTOMERS])
        async with database.read() as tx:
            read = await load_positions(tx, positions, [Topic.CUSTOMERS])
        for partition, lag in ends.items():
            position = max(lag.start, held(read, partition))
            if position < lag.end and await self._holds_messages(partition, position):
                return False
        if not ends:
            return False
        async with database.begin() as tx:
            await customers.save_freshness(tx, Topic.CUSTOMERS, asked_at)
        return True

    async def run(self, stop: asyncio.Event) -> None:
        """Look until stopped: often while we are behind, seldom while we are not."""
        while not stop.is_set():
            try:
                seconds = 5.0 if await self.look() else 0.25
            except Unavailable as error:
                log.warning("freshness_unknown", reason=str(error))
                seconds = 1.0
            try:
                await asyncio.wait_for(stop.wait(), seconds)
            except TimeoutError:
                continue

    async def _holds_messages(self, partition: TopicPartition, position: int) -> bool:
        """Whether the unread tail holds anything but tombstones and what nobody can read."""
        while tail := await self.log.read(partition, position, max_records=_TAIL_RECORDS):
            if any(_is_message(record) for record in tail):
                return True
            position = tail[-1].offset + 1
        return False


def _is_message(record: Record) -> bool:
    """A change of a newer major version is one: it may be a stop, and waits until this code is upgraded."""
    try:
        return decode_record(record) is not None
    except Undecodable:
        return False
    except UnknownMajor:
        return True
