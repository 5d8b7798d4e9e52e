"""Gives up records that can never be handled: to the dead letters, or the whole partition when it is too many."""

from collections import defaultdict
from collections.abc import Container, Iterable

from shared.dead_letters import dead_letter
from shared.errors import Refused
from shared.instruments import RECORDS_DEAD, STOPPED
from shared.log import Consumer, Producer, Record, TopicPartition
from shared.telemetry import log
from shared.worker.patience import GaveUp, Patience
from shared.worker.status import LoopStatus


class GivingUp:
    """Writes dead letters, counts how many records of a partition failed in a row, and stops a partition.

    Unreadable records and those that a handler refuses are two rows: each says something else about the cause.
    """

    def __init__(
        self,
        service: str,
        consumer: Consumer,
        producer: Producer,
        status: LoopStatus,
        patience: Patience,
        limit: int,
    ) -> None:
        self.unreadable: defaultdict[TopicPartition, list[int]] = defaultdict(list)
        """The offsets of the records that could not be read, in a row."""
        self.failed: defaultdict[TopicPartition, list[int]] = defaultdict(list)
        """The offsets of those that could not be handled, in a row."""
        self._service = service
        self._consumer = consumer
        self._producer = producer
        self._status = status
        self._patience = patience
        self._limit = limit

    def all_is_well(self, partitions: Iterable[TopicPartition]) -> None:
        """Records of these were read and handled: their rows end."""
        for partition in partitions:
            self.unreadable.pop(partition, None)
            self.failed.pop(partition, None)

    async def give_up(
        self, partition: TopicPartition, record: Record, reason: str, row: list[int]
    ) -> None:
        """Dead-letter the record, or stop the partition before the row when too many in a row say that it is not
        the records: what came before them is done, and they are read again once the cause is mended."""
        row.append(record.offset)
        if len(row) > self._limit:
            # Every workspace sees why a partition stopped: the reasons stand with the dead letters, each its owner's.
            self.stop(partition, f"{len(row)} records in a row could not be handled: see the log")
            raise GaveUp(row[0])
        letter = dead_letter(record, self._service, reason)
        try:
            await self._patience.persist([partition], lambda: self._producer.send([letter]))
        except Refused as refusal:
            self.stop(partition, f"the dead-letter topic refused the record: {refusal}")
            raise GaveUp(record.offset) from refusal
        RECORDS_DEAD.labels(self._service, partition.topic).inc()
        log.warning(
            "record_dead_lettered",
            service=self._service,
            topic=partition.topic,
            partition=partition.partition,
            offset=record.offset,
            reason=reason,
        )

    def stop(self, partition: TopicPartition, reason: str) -> None:
        """Read nothing more of it until it is assigned anew."""
        self._consumer.stop_partition(partition)
        self._status.stopped[partition] = reason
        STOPPED.labels(self._service).set(len(self._status.stopped))
        log.error(
            "partition_stopped",
            service=self._service,
            topic=partition.topic,
            partition=partition.partition,
            reason=reason,
        )

    def forget_stopped(self, fetched: Container[TopicPartition]) -> None:
        """What was assigned anew, here or to another member, starts over: nobody holds it any more."""
        stopped = self._status.stopped
        if not stopped:
            return
        assigned = self._consumer.assigned()
        for partition in [p for p in stopped if p in fetched or p not in assigned]:
            del stopped[partition]
            self.all_is_well([partition])
        STOPPED.labels(self._service).set(len(stopped))
