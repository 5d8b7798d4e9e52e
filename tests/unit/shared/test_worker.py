"""The consumer loop against fakes of its protocols: order, the three failures, revocation, the poison limit."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from shared.contracts.envelope import Received
from shared.errors import Refused, Unavailable, Undecodable, UnknownMajor
from shared.log import Record, TopicPartition
from shared.worker import Bury, Handle, Subscription, Worker, patience
from tests.fakes import FakeConsumer, FakeProducer, Flaky, record

TOPIC = "responses"
P0 = TopicPartition(TOPIC, 0)
P1 = TopicPartition(TOPIC, 1)


@pytest.fixture(autouse=True)
def no_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "BACKOFF_SECONDS", (0.0,) * 5)


def decode(item: Record) -> Received[object] | None:
    if item.value == b"bad":
        raise Undecodable("not a message")
    if item.value == b"newer":
        raise UnknownMajor("schema 2.0")
    if item.value == b"surprise":
        raise RecursionError("too deep")
    if item.value == b"unknown":
        return None
    return Received("acme", "c1", object(), item, None)


class Bench:
    """A worker between its fakes."""

    def __init__(
        self,
        handle: Handle,
        *values: bytes,
        producer: FakeProducer | None = None,
        bury: Bury | None = None,
    ) -> None:
        self.stop = asyncio.Event()
        self.consumer = FakeConsumer(self.stop)
        if values:
            self.consumer.then({P0: [record(TOPIC, i, v) for i, v in enumerate(values)]})
        self.producer = producer or FakeProducer()
        self.noted: dict[TopicPartition, int] = {}
        self.worker = Worker(
            "scoring",
            self.consumer,
            self.producer,
            {TOPIC: Subscription(handle, decode, bury)},
            self.note,
            poison_limit=3,
        )

    async def note(self, ends: Mapping[TopicPartition, int]) -> None:
        self.noted.update(ends)

    async def run(self) -> None:
        async with asyncio.timeout(5):
            await self.worker.run(self.stop)


async def test_a_batch_is_handled_whole_and_its_offset_committed_after() -> None:
    handle = Flaky()
    bench = Bench(handle, b"a", b"b", b"c")
    await bench.run()
    assert handle.batches == [[0, 1, 2]]
    assert bench.consumer.committed == {P0: 3}


async def test_an_unavailable_dependency_is_retried_with_the_same_batch() -> None:
    handle = Flaky(Unavailable("database"), Unavailable("database"))
    bench = Bench(handle, b"a", b"b")
    await bench.run()
    assert handle.batches == [[0, 1]]
    assert bench.consumer.committed == {P0: 2}
    assert bench.producer.sent == []
    assert bench.worker.status.waiting_for is None


async def test_an_undecodable_record_goes_to_the_dead_letters_with_its_origin_and_the_rest_goes_on() -> (
    None
):
    handle = Flaky()
    bench = Bench(handle, b"a", b"bad", b"c")
    await bench.run()
    assert handle.batches == [[0, 2]]
    (letter,) = bench.producer.sent
    assert (letter.topic, letter.value) == ("responses.scoring.dlq", b"bad")
    headers = dict(letter.headers)
    assert (headers["afterword-topic"], headers["afterword-offset"]) == (b"responses", b"1")
    assert b"not a message" in headers["afterword-reason"]
    assert bench.consumer.committed == {P0: 3}


async def test_a_record_that_always_fails_is_found_by_bisecting_and_buried_alone() -> None:
    buried: list[tuple[int, str]] = []

    async def bury(received: Received[object], reason: str) -> None:
        buried.append((received.record.offset, reason))

    handle = Flaky(poison=frozenset({2}))
    bench = Bench(handle, *[b"x"] * 5, bury=bury)
    await bench.run()
    assert sorted(offset for batch in handle.batches for offset in batch) == [0, 1, 3, 4]
    assert [letter.value for letter in bench.producer.sent] == [b"x"]
    assert buried == [(2, "ValueError: poison")]
    assert bench.consumer.committed == {P0: 5}


async def test_the_offset_does_not_move_when_the_dead_letter_cannot_be_written() -> None:
    bench = Bench(Flaky(), b"bad", producer=FakeProducer(Refused("too large", 0)))
    await bench.run()
    assert bench.consumer.committed == {}
    assert bench.consumer.stopped == [P0]
    assert "too large" in bench.worker.status.stopped[P0]


async def test_a_dead_letter_waits_for_a_broker_that_is_away() -> None:
    bench = Bench(Flaky(), b"bad", producer=FakeProducer(Unavailable("log"), Unavailable("log")))
    await bench.run()
    assert len(bench.producer.sent) == 1
    assert bench.consumer.committed == {P0: 1}


async def test_too_many_failures_in_a_row_stop_the_partition_rather_than_drain_it() -> None:
    bench = Bench(Flaky(poison=frozenset(range(10))), *[b"x"] * 10)
    await bench.run()
    assert len(bench.producer.sent) == 3
    assert bench.consumer.stopped == [P0]
    assert bench.consumer.committed == {}
    assert bench.consumer.rewound == [P0]


async def test_a_partition_lost_while_it_is_rewound_does_not_end_the_loop() -> None:
    bench = Bench(Flaky(poison=frozenset(range(10))), *[b"x"] * 10)
    bench.consumer.lost_when_rewinding = True
    await bench.run()
    assert (bench.consumer.committed, bench.consumer.rewound) == ({}, [])


async def test_undecodable_records_count_towards_the_limit_too() -> None:
    bench = Bench(Flaky(), *[b"bad"] * 10)
    await bench.run()
    assert len(bench.producer.sent) == 3
    assert bench.consumer.stopped == [P0]
    assert bench.consumer.committed == {}


@pytest.mark.parametrize("value", [b"bad", b"x"])
async def test_what_came_before_the_row_that_stops_a_partition_is_done_and_the_row_comes_again(
    value: bytes,
) -> None:
    handle = Flaky(poison=frozenset(range(2, 10)) if value == b"x" else frozenset())
    bench = Bench(handle, b"ok", b"ok", *[value] * 8)
    await bench.run()
    assert sorted(offset for batch in handle.batches for offset in batch) == [0, 1]
    assert bench.consumer.stopped == [P0]
    assert bench.consumer.committed == {P0: 2}
    assert len(bench.producer.sent) == 3


async def test_a_good_record_between_resets_the_count() -> None:
    bench = Bench(Flaky(), *[b"bad", b"bad", b"bad", b"ok"] * 3)
    await bench.run()
    assert bench.consumer.stopped == []
    assert bench.consumer.committed == {P0: 12}


async def test_unknown_types_are_skipped_and_a_newer_major_stops_the_partition_before_it() -> None:
    handle = Flaky()
    bench = Bench(handle, b"a", b"unknown", b"newer", b"d")
    await bench.run()
    assert handle.batches == [[0]]
    assert bench.consumer.committed == {P0: 2}
    assert bench.consumer.stopped == [P0]


async def test_a_partition_that_is_gone_is_neither_handled_nor_committed() -> None:
    handle = Flaky()
    bench = Bench(handle, b"a")
    bench.consumer.revoked.add(P0)
    await bench.run()
    assert (handle.batches, bench.consumer.committed) == ([], {})


async def test_a_retry_gives_its_batch_up_when_the_partition_is_revoked() -> None:
    bench: Bench

    async def handle(batch: Sequence[object]) -> None:
        bench.consumer.revoked.add(P0)
        raise Unavailable("database")

    bench = Bench(handle, b"a")
    await bench.run()
    assert bench.consumer.committed == {}


async def test_a_commit_that_fails_is_repeated_without_handling_again() -> None:
    handle = Flaky()
    bench = Bench(handle, b"a")
    bench.consumer.commit_failures = [Unavailable("log")]
    await bench.run()
    assert handle.batches == [[0]]
    assert bench.consumer.committed == {P0: 1}


async def test_a_dead_letter_is_replayed_in_the_service_that_failed() -> None:
    handle = Flaky()
    bench = Bench(handle)
    await bench.worker.replay(record(TOPIC, 7, b"a"))
    assert handle.batches == [[7]]
    with pytest.raises(Undecodable):
        await bench.worker.replay(record(TOPIC, 8, b"bad"))


async def test_what_was_fetched_together_is_handled_and_committed_together() -> None:
    handle = Flaky(Unavailable("database"))
    bench = Bench(handle)
    bench.consumer.then(
        {P0: [record(TOPIC, 1), record(TOPIC, 2)], P1: [record(TOPIC, 5, partition=1)]}
    )
    bench.consumer.commit_failures = [Unavailable("log")]
    await bench.run()
    assert handle.batches == [[1, 2, 5]]
    assert bench.consumer.committed == {P0: 3, P1: 6}


async def test_an_unreadable_record_of_one_partition_leaves_the_other_as_it_is() -> None:
    handle = Flaky()
    bench = Bench(handle)
    bench.consumer.then(
        {
            P0: [record(TOPIC, 1, b"bad"), record(TOPIC, 2)],
            P1: [record(TOPIC, 5, b"newer", partition=1)],
        }
    )
    await bench.run()
    assert handle.batches == [[2]]
    assert bench.consumer.committed == {P0: 3}
    assert bench.consumer.stopped == [P1]
    assert len(bench.producer.sent) == 1


async def test_the_partition_that_is_left_goes_on_when_another_is_taken_during_a_retry() -> None:
    bench: Bench
    batches: list[list[int]] = []

    async def handle(batch: Sequence[Received[object]]) -> None:
        if P0 not in bench.consumer.revoked:
            bench.consumer.revoked.add(P0)
            raise Unavailable("database")
        batches.append([received.record.offset for received in batch])

    bench = Bench(handle)
    bench.consumer.then({P0: [record(TOPIC, 1)], P1: [record(TOPIC, 5, partition=1)]})
    await bench.run()
    assert batches == [[5]]
    assert bench.consumer.committed == {P1: 6}
    assert bench.worker.status.waiting_for is None


async def test_a_partition_does_not_wait_for_the_poison_of_one_it_was_fetched_with() -> None:
    gate = asyncio.Event()

    async def handle(batch: Sequence[Received[object]]) -> None:
        offsets = [received.record.offset for received in batch]
        if offsets == [1]:
            await gate.wait()
        if 1 in offsets:
            raise ValueError("poison")

    bench = Bench(handle)
    bench.consumer.then({P0: [record(TOPIC, 1)], P1: [record(TOPIC, 5, partition=1)]})
    running = asyncio.create_task(bench.run())
    async with asyncio.timeout(5):
        while bench.consumer.committed != {P1: 6}:
            await asyncio.sleep(0)
    gate.set()
    await running
    assert bench.consumer.committed == {P0: 2, P1: 6}
    assert len(bench.producer.sent) == 1


async def test_two_partitions_of_which_one_fails_are_handled_and_committed_apart() -> None:
    handle = Flaky(poison=frozenset({1}))
    stop = asyncio.Event()
    consumer = FakeConsumer(stop, {P0: [record(TOPIC, 1)], P1: [record(TOPIC, 5, partition=1)]})
    producer = FakeProducer()
    noted: dict[TopicPartition, int] = {}

    async def note(ends: Mapping[TopicPartition, int]) -> None:
        noted.update(ends)

    await Worker("scoring", consumer, producer, {TOPIC: Subscription(handle, decode)}, note).run(
        stop
    )
    assert noted == {P0: 2}
    assert consumer.committed == {P0: 2, P1: 6}
    assert handle.batches == [[5]]


async def test_a_partition_that_comes_back_after_it_was_stopped_is_read_whole_and_no_longer_stopped() -> (
    None
):
    handle = Flaky(poison=frozenset(range(4)))
    bench = Bench(handle, *[b"x"] * 4)
    bench.consumer.then({P0: [record(TOPIC, i) for i in (4, 5, 6)]}, anew=True)
    await bench.run()
    assert bench.consumer.stopped == [P0]
    assert [offset for batch in handle.batches for offset in batch] == [4, 5, 6]
    assert bench.consumer.committed == {P0: 7}
    assert bench.worker.status.stopped == {}


async def test_a_partition_stopped_here_and_given_to_another_member_is_not_reported_any_more() -> (
    None
):
    bench = Bench(Flaky(poison=frozenset(range(4))), *[b"x"] * 4)
    bench.consumer.then({}, revoke=P0)
    await bench.run()
    assert bench.worker.status.stopped == {}


async def test_failures_in_a_row_are_counted_across_batches() -> None:
    bench = Bench(Flaky(poison=frozenset(range(4))), b"x")
    for offset in range(1, 4):
        bench.consumer.then({P0: [record(TOPIC, offset)]})
    await bench.run()
    assert len(bench.producer.sent) == 3
    assert bench.consumer.stopped == [P0]


async def test_a_record_that_succeeds_when_tried_alone_ends_the_row_of_failures() -> None:
    failed: set[int] = set()

    async def handle(batch: Sequence[Received[object]]) -> None:
        (offset,) = {one.record.offset for one in batch}
        if offset != 2 or offset not in failed:
            failed.add(offset)
            raise ValueError("poison")

    bench = Bench(handle, b"x")
    for offset in range(1, 6):
        bench.consumer.then({P0: [record(TOPIC, offset)]})
    await bench.run()
    assert bench.consumer.stopped == []
    assert len(bench.producer.sent) == 5


async def test_what_stopped_a_partition_is_told_without_the_words_of_anybodys_record() -> None:
    async def handle(batch: Sequence[object]) -> None:
        raise ValueError("phone 555-0100")

    bench = Bench(handle, *[b"x"] * 4)
    await bench.run()
    assert "4 records in a row" in bench.worker.status.stopped[P0]
    assert "555" not in bench.worker.status.stopped[P0]


async def test_a_long_bisection_is_progress_to_the_watchdog() -> None:
    seen: list[float] = []
    bench: Bench

    async def handle(batch: Sequence[Received[object]]) -> None:
        seen.append(bench.worker.status.last_progress)
        if any(one.record.offset == 3 for one in batch):
            raise ValueError("poison")

    bench = Bench(handle, *[b"x"] * 4)
    await bench.run()
    assert seen[-1] > seen[0]


async def test_a_decoder_that_raises_something_unforeseen_costs_one_record_and_not_the_process() -> (
    None
):
    handle = Flaky()
    bench = Bench(handle, b"a", b"surprise", b"c")
    await bench.run()
    assert handle.batches == [[0, 2]]
    (letter,) = bench.producer.sent
    assert b"RecursionError: too deep" in dict(letter.headers)["afterword-reason"]


async def test_a_record_whose_fate_cannot_be_noted_is_a_dead_letter_all_the_same() -> None:
    async def bury(received: Received[object], reason: str) -> None:
        raise ValueError("no row can hold it")

    handle = Flaky(poison=frozenset({1}))
    bench = Bench(handle, *[b"x"] * 3, bury=bury)
    await bench.run()
    assert [offset for batch in handle.batches for offset in batch] == [0, 2]
    assert len(bench.producer.sent) == 1
    assert bench.consumer.committed == {P0: 3}


class Lanes:
    """A handler that waits until it is let on, partition by partition, and tells how many batches it has at once."""

    def __init__(self) -> None:
        self.begun: list[tuple[int, list[int]]] = []
        self.ended: list[tuple[int, list[int]]] = []
        self.gates = {P0: asyncio.Event(), P1: asyncio.Event()}
        self.most_at_once = 0

    async def __call__(self, batch: Sequence[Received[object]]) -> None:
        at = batch[0].record.at
        one = (at.partition, [received.record.offset for received in batch])
        self.begun.append(one)
        self.most_at_once = max(self.most_at_once, len(self.begun) - len(self.ended))
        await self.gates[at].wait()
        self.ended.append(one)

    async def until_begun(self, count: int) -> None:
        async with asyncio.timeout(5):
            while len(self.begun) < count:
                await asyncio.sleep(0)


def lanes_bench(lanes: Handle, count: int, *, max_records: int = 1_000) -> Bench:
    bench = Bench(lanes)
    for start in range(0, count, max_records):
        offsets = range(start, min(start + max_records, count))
        for at in (P0, P1):
            bench.consumer.then({at: [record(TOPIC, i, partition=at.partition) for i in offsets]})
    bench.worker = Worker(
        "scoring",
        bench.consumer,
        bench.producer,
        {TOPIC: Subscription(lanes, decode)},
        bench.note,
        max_records=max_records,
        poison_limit=3,
    )
    return bench


async def test_two_partitions_are_handled_at_the_same_time_and_a_rebalance_waits_for_both() -> None:
    lanes = Lanes()
    bench = lanes_bench(lanes, 1)
    running = asyncio.create_task(bench.run())
    await lanes.until_begun(2)
    lanes.gates[P1].set()
    async with asyncio.timeout(5):
        while bench.consumer.committed != {P1: 1}:
            await asyncio.sleep(0)
    assert bench.consumer.in_flight
    lanes.gates[P0].set()
    await running
    assert bench.consumer.committed == {P0: 1, P1: 1}
    assert not bench.consumer.in_flight


async def test_the_batches_of_a_partition_are_handled_one_after_the_other_in_order() -> None:
    lanes = Lanes()
    bench = lanes_bench(lanes, 5, max_records=2)
    lanes.gates[P1].set()
    running = asyncio.create_task(bench.run())
    async with asyncio.timeout(5):
        while bench.consumer.committed != {P1: 5}:
            await asyncio.sleep(0)
    assert [offsets for at, offsets in lanes.begun if at == 0] == [[0, 1]]
    lanes.gates[P0].set()
    await running
    for number in (0, 1):
        assert [o for at, o in lanes.ended if at == number] == [[0, 1], [2, 3], [4]]
    assert lanes.most_at_once == 2
    assert bench.consumer.committed == {P0: 5, P1: 5}


@pytest.mark.parametrize("end", ["stop", "revoke"])
async def test_what_has_begun_is_finished_and_no_other_batch_begins(end: str) -> None:
    lanes = Lanes()
    bench = lanes_bench(lanes, 4, max_records=2)
    running = asyncio.create_task(bench.run())
    await lanes.until_begun(2)
    if end == "stop":
        bench.stop.set()
    else:
        bench.consumer.revoked |= {P0, P1}
    for gate in lanes.gates.values():
        gate.set()
    await running
    assert sorted(lanes.begun) == sorted(lanes.ended) == [(0, [0, 1]), (1, [0, 1])]
    assert bench.consumer.committed == {P0: 2, P1: 2}


async def test_a_partition_that_gives_up_leaves_its_rest_and_the_other_goes_on() -> None:
    async def handle(batch: Sequence[Received[object]]) -> None:
        if batch[0].record.partition == 0:
            raise ValueError("poison")

    bench = lanes_bench(handle, 8, max_records=4)
    await bench.run()
    assert len(bench.producer.sent) == 3
    assert bench.consumer.stopped == bench.consumer.rewound == [P0]
    assert bench.consumer.committed == {P1: 8}


async def test_a_newer_major_stops_the_partition_before_its_next_batch() -> None:
    handle = Flaky()
    bench = Bench(handle)
    bench.consumer.then({P0: [record(TOPIC, 0, b"a"), record(TOPIC, 1, b"newer")]})
    bench.consumer.then({P0: [record(TOPIC, 2, b"c")]})
    bench.worker = Worker(
        "scoring",
        bench.consumer,
        bench.producer,
        {TOPIC: Subscription(handle, decode)},
        bench.note,
        max_records=2,
    )
    await bench.run()
    assert handle.batches == [[0]]
    assert bench.consumer.committed == {P0: 1}


async def test_a_partition_that_waits_is_told_although_another_goes_on() -> None:
    told: list[str | None] = []
    bench: Bench

    async def handle(batch: Sequence[Received[object]]) -> None:
        status = bench.worker.status
        if batch[0].record.partition == 0 and P1 not in bench.consumer.committed:
            raise Unavailable("database")
        while P1 not in bench.consumer.committed and status.waiting_for is None:
            await asyncio.sleep(0)
        told.append(status.waiting_for)

    bench = lanes_bench(handle, 2, max_records=1)
    await bench.run()
    assert told[:2] == ["database", "database"]
    assert bench.worker.status.waiting_for is None
    assert bench.consumer.committed == {P0: 2, P1: 2}


async def test_what_no_handler_notes_is_noted_before_the_group_passes_it() -> None:
    bench = Bench(Flaky(), b"a", b"unknown")
    await bench.run()
    assert bench.noted == bench.consumer.committed == {P0: 2}


async def test_nothing_is_noted_beside_what_handlers_note_themselves() -> None:
    bench = Bench(Flaky(), b"unknown", b"bad", b"a")
    await bench.run()
    assert bench.consumer.committed == {P0: 3}
    assert bench.noted == {}


async def test_a_record_that_was_given_up_last_is_noted() -> None:
    bench = Bench(Flaky(poison=frozenset({1})), b"a", b"b", b"unknown")
    await bench.run()
    assert bench.noted == {P0: 3}
    bench = Bench(Flaky(poison=frozenset({1})), b"unknown", b"b")
    await bench.run()
    assert bench.noted == {P0: 2}


async def test_what_is_noted_does_not_depend_on_what_was_passed_before_the_partition_went() -> None:
    async def handle(batch: Sequence[Received[object]]) -> None:
        bench.consumer.revoked.add(P0)
        bench.consumer.then({P0: [record(TOPIC, 0, b"unknown")]}, anew=True)
        raise Unavailable("database")

    bench = Bench(handle, b"unknown", b"bad", b"a")
    fetch = bench.consumer.fetch

    async def fetch_anew(**options: Any) -> Mapping[TopicPartition, Sequence[Record]]:
        found = await fetch(**options)
        bench.consumer.revoked -= set(found)
        return found

    bench.consumer.fetch = fetch_anew  # type: ignore[method-assign]  # it is assigned anew with what comes
    await bench.run()
    assert bench.noted == bench.consumer.committed == {P0: 1}
