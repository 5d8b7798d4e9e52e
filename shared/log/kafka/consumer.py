"""The Kafka consumer: one member of a group that lets go at once when a rebalance begins."""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager, suppress

import aiokafka
import structlog
from aiokafka.errors import (
    CommitFailedError,
    IllegalStateError,
    KafkaError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
)

from shared.errors import OffsetLost, Unavailable
from shared.log import InFlight, Record, TopicPartition
from shared.log.kafka.connecting import Connection
from shared.log.kafka.settings import (
    CALL_SECONDS,
    LET_GO_SECONDS,
    REBALANCE_SECONDS,
    SIGNATURE,
    KafkaSettings,
    reason,
    unavailable,
)

log = structlog.get_logger()
# Joining waits for the other members, so one request must outlast a whole rebalance.
REQUEST_SECONDS = REBALANCE_SECONDS + 10


class KafkaConsumer(aiokafka.ConsumerRebalanceListener):  # type: ignore[misc]  # untyped library
    """Implements `Consumer`; connects, joins and recovers in the background, from its first fetch on."""

    def __init__(self, settings: KafkaSettings, group: str, topics: Sequence[str]) -> None:
        self.in_flight = InFlight()
        self._settings = settings
        self._group = group
        self._topics = tuple(topics)
        self._connection = Connection(settings, f"group {group}", self._start, _stop)
        self._settled = False
        # What was fetched before a rebalance must be dropped even if its partition came straight back.
        self._handed_out: set[TopicPartition] = set()
        self._stopped: set[TopicPartition] = set()

    @classmethod
    @asynccontextmanager
    async def open(
        cls, settings: KafkaSettings, group: str, topics: Sequence[str]
    ) -> AsyncIterator["KafkaConsumer"]:
        consumer = cls(settings, group, topics)
        try:
            yield consumer
        finally:
            consumer._settled = False
            await consumer._connection.close()

    async def fetch(
        self,
        *,
        max_records: int,
        timeout_seconds: float,
        without: Collection[TopicPartition] = (),
    ) -> Mapping[TopicPartition, Sequence[Record]]:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_seconds
        client = await self._connection.get(timeout_seconds)
        while True:
            try:
                fetched = await _getmany(client, self._all_but(without), max_records, deadline)
            except NoOffsetForPartitionError as error:
                await _begin_at_start(client, error.args[0], deadline)
                continue
            except OffsetOutOfRangeError as error:
                raise await self._lost(client, error) from error
            except (KafkaError, OSError) as error:
                if not (isinstance(error, KafkaError) and error.retriable):
                    self._forget(client)
                raise Unavailable(
                    f"Kafka failed while fetching for group {self._group}: {reason(error)}"
                ) from error
            if not fetched and _is_dead(client):
                self._forget(client)
                raise Unavailable(f"the Kafka client of group {self._group} died; a new one joins")
            if self._settled or not fetched:
                handed_out = self._ours(fetched)
                self._handed_out |= handed_out.keys()
                return handed_out
            # Assigned, but our own listener has not run yet: nothing of it may be handed out or passed over.
            _put_back(client, fetched)
            await asyncio.sleep(0)

    def owns(self, partition: TopicPartition) -> bool:
        client = self._connection.client
        return (
            self._settled
            and partition in self._handed_out
            and client is not None
            and self._settings.theirs(partition) in client.assignment()
        )

    def assigned(self) -> frozenset[TopicPartition]:
        client = self._connection.client
        if client is None or not self._settled:
            return frozenset()
        return frozenset(self._settings.ours(at) for at in client.assignment())

    def joined(self) -> bool:
        return self._settled and self._connection.client is not None

    async def commit(self, next_offsets: Mapping[TopicPartition, int]) -> None:
        client = await self._connection.get(CALL_SECONDS)
        assigned = client.assignment()
        there = {self._settings.theirs(at): end for at, end in next_offsets.items()}
        held = {at: end for at, end in there.items() if at in assigned}
        self._lost_before_commit({at: there[at] for at in there.keys() - held.keys()})
        if not held:
            return
        with unavailable(f"committing offsets for group {self._group}"):
            try:
                async with asyncio.timeout(CALL_SECONDS):
                    await client.commit({at: (end, SIGNATURE) for at, end in held.items()})
            except (CommitFailedError, IllegalStateError) as error:
                self._lost_before_commit(held, reason(error))

    def _lost_before_commit(
        self, lost: Mapping[aiokafka.TopicPartition, int], error: str = "not assigned any more"
    ) -> None:
        for at, offset in lost.items():
            log.warning(
                "commit_of_lost_partition",
                group=self._group,
                topic=at.topic,
                partition=at.partition,
                offset=offset,
                error=error,
            )

    def stop_partition(self, partition: TopicPartition) -> None:
        client = self._connection.client
        if client is not None:
            with suppress(IllegalStateError):
                client.pause(self._settings.theirs(partition))
                self._stopped.add(partition)

    async def seek_committed(self, partition: TopicPartition) -> None:
        client = await self._connection.get(CALL_SECONDS)
        there = self._settings.theirs(partition)
        with unavailable(
            f"going back in {partition.topic}/{partition.partition} for group {self._group}"
        ):
            async with asyncio.timeout(CALL_SECONDS):
                # Lost meanwhile: its new owner goes on from the committed offset anyway.
                with suppress(IllegalStateError):
                    committed = await client.committed(there)
                    if committed is None:
                        await client.seek_to_beginning(there)
                    else:
                        client.seek(there, committed)

    async def on_partitions_revoked(self, revoked: set[aiokafka.TopicPartition]) -> None:
        """Called by the library, which keeps its heartbeat going meanwhile; must never call `getmany`."""
        self._settled = False
        self._handed_out.clear()
        if not revoked:
            return
        try:
            async with asyncio.timeout(LET_GO_SECONDS):
                await self.in_flight.landed()
        except TimeoutError:
            log.warning(
                "rebalance_did_not_wait_longer", group=self._group, waited_seconds=LET_GO_SECONDS
            )

    async def on_partitions_assigned(self, assigned: set[aiokafka.TopicPartition]) -> None:
        """Called by the library once the new assignment holds."""
        self._stopped.clear()
        self._settled = True
        names = sorted(f"{at.topic}/{at.partition}" for at in map(self._settings.ours, assigned))
        log.info("partitions_assigned", group=self._group, partitions=names)

    def _all_but(
        self, without: Collection[TopicPartition]
    ) -> Sequence[aiokafka.TopicPartition] | None:
        """The partitions of ours that are left, in the library's words; None for all that there will be."""
        if not without:
            return None
        return [self._settings.theirs(at) for at in self.assigned().difference(without)]

    def _ours(
        self, fetched: Mapping[aiokafka.TopicPartition, Sequence[aiokafka.ConsumerRecord]]
    ) -> dict[TopicPartition, Sequence[Record]]:
        result: dict[TopicPartition, Sequence[Record]] = {}
        for there, raw in fetched.items():
            at = self._settings.ours(there)
            if at not in self._stopped:
                result[at] = [self._settings.record(one) for one in raw]
        return result

    async def _lost(
        self, client: aiokafka.AIOKafkaConsumer, error: OffsetOutOfRangeError
    ) -> Exception:
        """The sentence about an offset the log no longer has; tells the log's bounds when it can."""
        ((there, offset),) = error.args[0].items()
        at = self._settings.ours(there)
        with unavailable(f"looking up the start of {at.topic}/{at.partition}"):
            async with asyncio.timeout(CALL_SECONDS):
                start = (await client.beginning_offsets([there]))[there]
                end = (await client.end_offsets([there]))[there]
        if start <= offset <= end:
            return Unavailable(
                f"{at.topic}/{at.partition} had no offset {offset} for a moment; it has now"
            )
        where = f"below the log's start {start}" if offset < start else f"above the log's end {end}"
        return OffsetLost(
            f"group {self._group} committed offset {offset} of topic {at.topic} partition {at.partition},"
            f" which is {where}: records were deleted before they were read"
        )

    def _forget(self, client: aiokafka.AIOKafkaConsumer) -> None:
        self._settled = False
        self._handed_out.clear()
        self._connection.replace(client)

    async def _start(self) -> aiokafka.AIOKafkaConsumer:
        client = aiokafka.AIOKafkaConsumer(
            **self._settings.client_options(REQUEST_SECONDS),
            group_id=self._settings.there(self._group),
            enable_auto_commit=False,
            auto_offset_reset="none",
            isolation_level="read_committed",
            fetch_min_bytes=1,
            fetch_max_wait_ms=500,
            fetch_max_bytes=16 * 1024 * 1024,
            max_partition_fetch_bytes=2 * 1024 * 1024,
            session_timeout_ms=int(self._settings.session_timeout_seconds * 1000),
            heartbeat_interval_ms=1_000,
            rebalance_timeout_ms=int(REBALANCE_SECONDS * 1000),
            max_poll_interval_ms=300_000,
            partition_assignment_strategy=(
                aiokafka.coordinator.assignors.roundrobin.RoundRobinPartitionAssignor,
            ),
        )
        try:
            await client.start()
            await self._must_exist(client)
            client.subscribe([self._settings.there(topic) for topic in self._topics], listener=self)
        except BaseException:
            await client.stop()
            raise
        return client

    async def _must_exist(self, client: aiokafka.AIOKafkaConsumer) -> None:
        """A member of a group without its topics would look healthy and read nothing."""
        async with asyncio.timeout(CALL_SECONDS):
            there = await client.topics()
        if missing := [topic for topic in self._topics if self._settings.there(topic) not in there]:
            raise Unavailable(f"no such topic: {', '.join(missing)}; create the topics first")


async def _getmany(
    client: aiokafka.AIOKafkaConsumer,
    partitions: Sequence[aiokafka.TopicPartition] | None,
    max_records: int,
    deadline: float,
) -> Mapping[aiokafka.TopicPartition, Sequence[aiokafka.ConsumerRecord]]:
    seconds = max(deadline - asyncio.get_running_loop().time(), 0)
    if partitions is not None and not partitions:  # to name none is to name all
        await asyncio.sleep(seconds)
        return {}
    try:
        # The library waits without limit while the group rebalances. To cancel it is safe: it passes records over
        # only in the step in which it returns them.
        async with asyncio.timeout_at(deadline):
            fetched: Mapping[aiokafka.TopicPartition, Sequence[aiokafka.ConsumerRecord]]
            fetched = await client.getmany(
                *(partitions or ()), timeout_ms=int(seconds * 1000), max_records=max_records
            )
            return fetched
    except TimeoutError:
        return {}


async def _begin_at_start(
    client: aiokafka.AIOKafkaConsumer, there: aiokafka.TopicPartition, deadline: float
) -> None:
    """A group without an offset reads from the beginning; the reset goes on in the client if time runs out."""
    with suppress(TimeoutError, IllegalStateError):
        async with asyncio.timeout_at(deadline):
            await client.seek_to_beginning(there)


def _put_back(
    client: aiokafka.AIOKafkaConsumer,
    fetched: Mapping[aiokafka.TopicPartition, Sequence[aiokafka.ConsumerRecord]],
) -> None:
    for there, raw in fetched.items():
        with suppress(IllegalStateError):
            client.seek(there, raw[0].offset)


def _is_dead(client: aiokafka.AIOKafkaConsumer) -> bool:
    """The library goes on giving empty fetches when a task of its own has ended; nothing public tells."""
    return bool(client._fetcher._fetch_task.done() or client._coordinator._coordination_task.done())


async def _stop(client: aiokafka.AIOKafkaConsumer) -> None:
    await client.stop()
