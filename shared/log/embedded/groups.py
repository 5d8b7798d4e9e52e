"""Consumer groups of the embedded log: who reads which partition, and how it changes hands."""

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

import structlog

from shared.errors import OffsetLost, Unavailable
from shared.log import InFlight, Record, TopicPartition
from shared.log.embedded.storage import Storage

log = structlog.get_logger()
LET_GO_SECONDS = 20.0


class EmbeddedConsumer:
    """Implements `Consumer`; what it owns is decided by its group."""

    def __init__(
        self,
        storage: Storage,
        group: str,
        topics: Sequence[str],
        join: Callable[["EmbeddedConsumer"], None],
    ) -> None:
        self._join: Callable[[EmbeddedConsumer], None] | None = join
        self.in_flight = InFlight()
        self.group = group
        self.topics = tuple(topics)
        self.changed = asyncio.Event()
        self._storage = storage
        self._positions: dict[TopicPartition, int | None] = {}
        self._stopped: set[TopicPartition] = set()
        self._leaving: set[TopicPartition] = set()
        # What was fetched before a partition went and came straight back must be dropped.
        self._not_fetched: set[TopicPartition] = set()

    async def fetch(
        self,
        *,
        max_records: int,
        timeout_seconds: float,
        without: Collection[TopicPartition] = (),
    ) -> Mapping[TopicPartition, Sequence[Record]]:
        self._storage.partitions(self.topics)
        if self._join is not None:
            join, self._join = self._join, None
            join(self)
        deadline = asyncio.get_running_loop().time() + timeout_seconds
        while True:
            self.changed.clear()
            fetched = await self._ready(max_records, without)
            if fetched:
                return fetched
            try:
                async with asyncio.timeout_at(deadline):
                    await self.changed.wait()
            except TimeoutError:
                return {}

    def owns(self, partition: TopicPartition) -> bool:
        return partition in self._positions and partition not in self._not_fetched

    def assigned(self) -> frozenset[TopicPartition]:
        return frozenset(self._positions)

    def joined(self) -> bool:
        return self._join is None

    async def commit(self, next_offsets: Mapping[TopicPartition, int]) -> None:
        # Taken while the partition is being let go, as Kafka does; refused once it may have a new owner.
        held = {
            at: end
            for at, end in next_offsets.items()
            if at in self._positions or at in self._leaving
        }
        if held:
            await self._storage.commit(self.group, held)
        for at in next_offsets.keys() - held.keys():
            log.warning(
                "commit_of_lost_partition",
                group=self.group,
                topic=at.topic,
                partition=at.partition,
                offset=next_offsets[at],
            )

    def stop_partition(self, partition: TopicPartition) -> None:
        if partition in self._positions:
            self._stopped.add(partition)

    async def seek_committed(self, partition: TopicPartition) -> None:
        if partition in self._positions:
            self._positions[partition] = None

    def take(self, partitions: Iterable[TopicPartition]) -> None:
        """Own these too, from their committed offsets on."""
        new = dict.fromkeys(partitions)
        self._positions.update(new)
        self._not_fetched |= new.keys()
        self.changed.set()

    def let_go(self, partitions: Iterable[TopicPartition]) -> bool:
        """Own these no more, at once; true when they may still be in flight, until `has_let_go`."""
        lost = set(partitions)
        for at in lost:
            self._positions.pop(at, None)
            self._stopped.discard(at)
        if not self.in_flight:
            return False
        self._leaving |= lost
        return bool(lost)

    def has_let_go(self) -> None:
        """What it let go may have a new owner from now on."""
        self._leaving.clear()

    async def _ready(
        self, max_records: int, without: Collection[TopicPartition]
    ) -> dict[TopicPartition, Sequence[Record]]:
        await self._find_positions()
        lost: OffsetLost | None = None
        read: list[tuple[TopicPartition, int, list[Record]]] = []
        for at, position in list(self._positions.items()):
            first, end = self._storage.bounds(at)
            if position is None or position >= end or at in self._stopped or at in without:
                continue
            if position < first:
                lost = self._lost(at, position, first)
                continue
            records = await self._storage.read(at, position, max_records)
            if records:
                read.append((at, position, records))
                max_records -= len(records)
            if max_records <= 0:
                break
        fetched = self._handed_out(read)
        if lost is not None and not fetched:
            raise lost
        return fetched

    def _handed_out(
        self, read: Sequence[tuple[TopicPartition, int, list[Record]]]
    ) -> dict[TopicPartition, Sequence[Record]]:
        fetched: dict[TopicPartition, Sequence[Record]] = {}
        for at, position, records in read:
            # Taken away or sent back while it was read: another fetch gives it, here or at its new owner.
            if self._positions.get(at) == position:
                # What was served goes to the end, so that a busy partition does not starve the others.
                del self._positions[at]
                self._positions[at] = records[-1].offset + 1
                self._not_fetched.discard(at)
                fetched[at] = records
        return fetched

    def _lost(self, at: TopicPartition, position: int, first: int) -> OffsetLost:
        return OffsetLost(
            f"group {self.group} committed offset {position} of topic {at.topic} partition {at.partition},"
            f" which is below the log's start {first}: records were deleted before they were read"
        )

    async def _find_positions(self) -> None:
        if None not in self._positions.values():
            return
        committed = await self._storage.committed(self.group)
        for at, position in self._positions.items():
            if position is None:
                self._positions[at] = committed.get(at, self._storage.bounds(at)[0])


class _Group:
    """The members of one group; partitions go round the members in the order in which these joined."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._members: list[EmbeddedConsumer] = []
        self._wanted: dict[TopicPartition, EmbeddedConsumer] = {}
        self._leaving: dict[TopicPartition, EmbeddedConsumer] = {}
        self._handing_over: asyncio.Task[None] | None = None

    def join(self, member: EmbeddedConsumer) -> None:
        self._members.append(member)
        self._storage.wake_on_append(member.changed)
        self.rebalance()

    def leave(self, member: EmbeddedConsumer) -> None:
        self._members.remove(member)
        self._storage.stop_waking(member.changed)
        lost = member.assigned()
        if member.let_go(lost):
            self._leaving.update(dict.fromkeys(lost, member))
        self.rebalance()

    def has_members(self) -> bool:
        return bool(self._members)

    def rebalance(self) -> None:
        """Take away at once what others shall have; they get it when it is no longer in flight."""
        self._wanted = self._assignment()
        for member in self._members:
            lost = [at for at in member.assigned() if self._wanted.get(at) is not member]
            if member.let_go(lost):
                self._leaving.update(dict.fromkeys(lost, member))
        self._give()
        if self._leaving and (self._handing_over is None or self._handing_over.done()):
            self._handing_over = asyncio.create_task(self._hand_over(), name="hand over partitions")

    def _assignment(self) -> dict[TopicPartition, EmbeddedConsumer]:
        wanted: dict[TopicPartition, EmbeddedConsumer] = {}
        for topic in sorted({topic for member in self._members for topic in member.topics}):
            readers = [member for member in self._members if topic in member.topics]
            try:
                partitions = self._storage.partitions([topic])
            except Unavailable:
                continue  # not created yet; creation rebalances
            for at in partitions:
                wanted[at] = readers[len(wanted) % len(readers)]
        return wanted

    def _give(self) -> None:
        for member in self._members:
            mine = [
                at
                for at, owner in self._wanted.items()
                if owner is member and at not in self._leaving
            ]
            new = [at for at in mine if at not in member.assigned()]
            if new:
                member.take(new)

    async def _hand_over(self) -> None:
        while self._leaving:
            member = next(iter(self._leaving.values()))
            try:
                async with asyncio.timeout(LET_GO_SECONDS):
                    await member.in_flight.landed()
            except TimeoutError:
                log.warning(
                    "rebalance_did_not_wait_longer",
                    group=member.group,
                    waited_seconds=LET_GO_SECONDS,
                )
            member.has_let_go()
            self._leaving = {
                at: owner for at, owner in self._leaving.items() if owner is not member
            }
            self._give()


class Groups:
    """All groups of one log, by name."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._groups: dict[str, _Group] = {}

    def join(self, group: str, topics: Sequence[str]) -> EmbeddedConsumer:
        """A member that is one from its first fetch on."""
        joined = self._groups.setdefault(group, _Group(self._storage))
        return EmbeddedConsumer(self._storage, group, topics, joined.join)

    def leave(self, member: EmbeddedConsumer) -> None:
        if member.joined():
            self._groups[member.group].leave(member)

    def has_members(self, group: str) -> bool:
        """Whether anybody reads for the group."""
        return group in self._groups and self._groups[group].has_members()

    def rebalance_all(self) -> None:
        """Called when topics were created."""
        for group in self._groups.values():
            group.rebalance()
