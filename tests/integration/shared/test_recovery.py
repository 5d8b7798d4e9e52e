"""A database beside a log that has gone on: what is taken over again, what is read again, and what is left alone."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest
import sqlalchemy as sa
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from shared.contracts.envelope import Received, encode_message
from shared.contracts.keys import Key
from shared.contracts.messages import CustomerChanged
from shared.contracts.topics import Topic, topic_specs
from shared.db import Database, Tx, insert
from shared.errors import GroupInUse, Unavailable
from shared.leases import lease_table
from shared.log import Lag, Log, Outgoing, TopicPartition
from shared.log.opening import open_log
from shared.outbox import outbox_table
from shared.positions import EVERY, TRUSTED, announced, load_positions, note, positions_table
from shared.recovery import Recovery
from tests.integration.shared.probe import open_probe

metadata = sa.MetaData()
leases = lease_table(metadata)
positions = positions_table(metadata)
outbox = outbox_table(metadata)
NEWER_MAJOR = (
    b'{"specversion":"1.0","id":"m","source":"/t","type":"afterword.customer.changed","subject":"ann",'
    b'"time":"2026-11-25T09:00:00Z","schemaversion":"2.0","data":{}}'
)
AT = datetime(2026, 11, 25, 9, tzinfo=UTC)


@dataclass
class Bench:
    """A service called `probe` that announces customers and reads responses."""

    database: Database
    log: Log
    restored: list[int] = field(default_factory=list)
    told: list[str | None] = field(default_factory=list)
    seen: Callable[[], None] = lambda: None

    def recovery(self) -> Recovery:
        topics = (str(Topic.RESPONSES),)
        restores = {str(Topic.CUSTOMERS): self.restore}
        return Recovery(
            self.log,
            self.database,
            positions,
            leases,
            outbox,
            topics,
            restores,
            tell=self.told.append,
            tell_every_seconds=0.0,
        )

    async def restore(self, tx: Tx, batch: Sequence[Received[Any]]) -> int:
        self.seen()
        self.restored += [received.message.revision for received in batch]
        return len(batch)

    async def announce(self, *revisions: int) -> None:
        async with self.log.producer() as producer:
            for revision in revisions:
                await producer.send([said(revision)])

    async def put_by(self, *revisions: int) -> None:
        """Have these wait in the outbox."""
        rows = [
            {"topic": one.topic, "key": one.key, "value": one.value, "created_at": AT}
            for one in map(said, revisions)
        ]
        async with self.database.begin() as tx:
            await insert(tx, outbox, rows)

    async def waiting(self) -> list[bytes]:
        async with self.database.read() as tx:
            return list(
                (await tx.execute(sa.select(outbox.c.value).order_by(outbox.c.id))).scalars()
            )

    async def pass_responses(self, count: int) -> TopicPartition:
        """Have the group pass that many records, of which the database holds none; the partition they are in."""
        async with self.log.producer() as producer:
            await producer.send([Outgoing(Topic.RESPONSES, b"k", b"{}")] * count)
        async with self.log.consumer("probe", [Topic.RESPONSES]) as consumer:
            while not (fetched := await consumer.fetch(max_records=100, timeout_seconds=1.0)):
                continue
            (at,) = fetched
            await consumer.commit({at: count})
        return at

    async def committed(self, at: TopicPartition) -> int | None:
        return (await self.log.lag("probe", [at.topic]))[at].committed

    async def noted(self, topic: str) -> dict[TopicPartition, int]:
        async with self.database.read() as tx:
            return await load_positions(tx, positions, [topic])

    async def note(self, ends: dict[TopicPartition, int]) -> None:
        async with self.database.begin() as tx:
            await note(tx, positions, ends)


def said(revision: int) -> Outgoing:
    """That a customer changed, each time in a message of its own."""
    message = CustomerChanged(id="ann", revision=revision, changed_at=AT)
    return encode_message(
        Key("acme", "ann"), message, id=f"m{revision}", source="t", time=AT, traceparent=None
    )


class Moved:
    """A log whose offsets were all committed by somebody else."""

    def __init__(self, inner: Log) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def lag(self, group: str, topics: Sequence[str]) -> Mapping[TopicPartition, Lag]:
        lags = await self._inner.lag(group, topics)
        return {at: replace(lag, moved=True) for at, lag in lags.items()}


class Busy:
    """A log beside which another replica notes one more record and commits it, just before it is asked."""

    def __init__(self, bench: Bench, at: TopicPartition) -> None:
        self._bench, self._inner, self._at = bench, bench.log, at

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def lag(self, group: str, topics: Sequence[str]) -> Mapping[TopicPartition, Lag]:
        if self._at.topic in topics:
            await self._bench.note({self._at: 6})
            await self._inner.move(group, {self._at: 6})
        return await self._inner.lag(group, topics)


class Lingering:
    """A log on which a killed process is still a member of its group, but for the third look."""

    lingering_seconds = 55.0

    def __init__(self, inner: Log) -> None:
        self._inner = inner
        self._looks = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def move(self, group: str, next_offsets: Mapping[TopicPartition, int]) -> None:
        self._looks += 1
        if self._looks < 3:
            raise GroupInUse("a member has not been missed yet")
        await self._inner.move(group, next_offsets)


@pytest.fixture
async def bench(database_url: str, tmp_path: Path) -> AsyncIterator[Bench]:
    async with (
        open_probe(database_url, metadata) as database,
        open_log(f"sqlite:///{tmp_path / 'log'}") as log,
    ):
        await log.create_topics(topic_specs())
        yield Bench(database, log)


async def test_what_was_said_since_is_taken_over_once(bench: Bench) -> None:
    await bench.announce(1, 2, 3)
    await bench.recovery().run()
    assert bench.restored == [1, 2, 3]
    await bench.announce(4)
    await bench.recovery().run()
    assert bench.restored == [1, 2, 3, 4]
    noted = await bench.noted(announced(TopicPartition(Topic.CUSTOMERS, 0)).topic)
    assert sum(noted.values()) == 4
    assert await bench.noted(Topic.CUSTOMERS) == {}, "what is read there is another matter"


async def test_what_the_log_has_is_not_said_again_after_what_was_said_since(bench: Bench) -> None:
    await bench.put_by(1, 2, 4)
    await bench.announce(1, 2, 3)
    await bench.recovery().run()
    assert bench.restored == [1, 2, 3]
    assert await bench.waiting() == [said(4).value]


async def test_it_says_how_far_it_is_while_it_compares(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.recovery._AT_ONCE", 2)
    await bench.announce(1, 2, 3)
    left: list[float | None] = []
    bench.seen = lambda: left.append(
        REGISTRY.get_sample_value(
            "afterword_recovery_left_records", {"service": "probe", "topic": "customers"}
        )
    )
    with capture_logs() as logged:
        await bench.recovery().run()
    lines = [(line["done"], line["total"]) for line in logged if line["event"] == "recovering"]
    assert lines == [(2, 3), (3, 3)]
    bench.seen()
    assert left == [3.0, 1.0, 0.0]
    assert [detail for detail in bench.told if detail] == [
        "0 of 3 records of customers are compared with the database",
        "2 of 3 records of customers are compared with the database",
    ]
    assert bench.told[-1] is None


async def test_what_another_replica_has_compared_meanwhile_is_not_left_to_do(bench: Bench) -> None:
    await bench.announce(1, 2)
    async with bench.log.producer() as producer:
        await producer.send([Outgoing(Topic.CUSTOMERS, b"acme/ann", NEWER_MAJOR)])
    with pytest.raises(Unavailable):
        await bench.recovery().run()
    lags = await bench.log.lag("probe", [Topic.CUSTOMERS])
    await bench.note({announced(at): lag.end for at, lag in lags.items()})
    await bench.recovery().run()
    labels = {"service": "probe", "topic": "customers"}
    assert REGISTRY.get_sample_value("afterword_recovery_left_records", labels) == 0.0


async def test_what_nobody_can_read_is_passed_over(bench: Bench) -> None:
    async with bench.log.producer() as producer:
        await producer.send([Outgoing(Topic.CUSTOMERS, b"acme/ann", b"nonsense")])
    await bench.announce(1)
    await bench.recovery().run()
    assert bench.restored == [1]


async def test_a_group_that_is_ahead_goes_back_to_where_the_database_ends(bench: Bench) -> None:
    at = await bench.pass_responses(5)
    await bench.note({at: 2})
    await bench.recovery().run()
    assert await bench.committed(at) == 2


async def test_a_group_that_is_not_ahead_stays(bench: Bench) -> None:
    at = await bench.pass_responses(5)
    await bench.note({at: 6})
    await bench.recovery().run()
    assert await bench.committed(at) == 5


async def test_what_another_replica_handles_meanwhile_is_no_gap(bench: Bench) -> None:
    at = await bench.pass_responses(5)
    await bench.note({at: 5})
    quiet, bench.log = bench.log, cast(Log, Busy(bench, at))
    await bench.recovery().run()
    bench.log = quiet
    assert await bench.committed(at) == 6


async def test_members_of_killed_processes_are_waited_for_and_that_is_said(bench: Bench) -> None:
    at = await bench.pass_responses(5)
    bench.log = cast(Log, Lingering(bench.log))
    with capture_logs() as logged:
        await bench.recovery().run()
    waits = [line["at_most_seconds"] for line in logged if line["event"] == "waits_for_old_members"]
    assert waits == [55.0]
    assert "the group goes back once its old members are gone" in str(bench.told[-2])
    assert await bench.committed(at) == 0


async def test_a_group_that_its_operator_moved_stays(bench: Bench) -> None:
    at = await bench.pass_responses(5)
    bench.log = cast(Log, Moved(bench.log))
    await bench.recovery().run()
    assert await bench.committed(at) == 5
    assert (await bench.noted(Topic.RESPONSES))[at] == 5


async def test_a_database_from_before_is_trusted_once(bench: Bench) -> None:
    await bench.announce(1)
    every = announced(TopicPartition(Topic.CUSTOMERS, EVERY))
    await bench.note({every: TRUSTED, TopicPartition(Topic.RESPONSES, EVERY): TRUSTED})
    at = await bench.pass_responses(5)
    await bench.recovery().run()
    assert bench.restored == []
    assert await bench.committed(at) == 5
    assert (await bench.noted(Topic.RESPONSES))[at] == 5
    await bench.announce(2)
    await bench.recovery().run()
    assert bench.restored == [2]


async def test_what_was_noted_of_a_log_that_is_gone_says_nothing_about_this_one(
    bench: Bench,
) -> None:
    """As after the services were pointed at another cluster, whose offsets begin again."""
    await bench.announce(1)
    at = await bench.pass_responses(5)
    noted_before = {
        announced(TopicPartition(Topic.CUSTOMERS, number)): 1_000 for number in range(12)
    }
    await bench.note(noted_before | {at: 1_000})
    await bench.recovery().run()
    assert bench.restored == [1]
    assert await bench.committed(at) == 5
    assert (await bench.noted(Topic.RESPONSES))[at] == 5
    noted = await bench.noted(announced(TopicPartition(Topic.CUSTOMERS, 0)).topic)
    assert sum(noted.values()) == 1


async def test_a_group_with_living_members_is_left_alone(bench: Bench) -> None:
    at = await bench.pass_responses(5)
    async with bench.log.consumer("probe", [Topic.RESPONSES]) as consumer:
        await consumer.fetch(max_records=1, timeout_seconds=0.1)
        with capture_logs() as logged:
            await bench.recovery().run()
    assert logged[-1]["event"] == "database_is_in_use"
    assert await bench.committed(at) == 5
    await bench.recovery().run()
    assert await bench.committed(at) == 0, "it goes back once they are gone"
