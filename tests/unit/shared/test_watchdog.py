"""The watchdog against fakes: it ends a process that stands still, and none that has a reason to."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, cast

import pytest

from shared.errors import Unavailable
from shared.log import Consumer, Lag, Log, TopicPartition
from shared.watchdog import Stuck, watch
from shared.worker import LoopStatus

P0, P1 = TopicPartition("responses", 0), TopicPartition("responses", 1)
WINDOW = 0.01


class Lags:
    """Tells one lag after the other, then that the process stops."""

    def __init__(
        self, stop: asyncio.Event, *told: Mapping[TopicPartition, Lag] | Exception
    ) -> None:
        self._stop = stop
        self._told = list(told)

    async def lag(self, group: str, topics: Sequence[str]) -> Mapping[TopicPartition, Lag]:
        if not self._told:
            self._stop.set()
            return {}
        told = self._told.pop(0)
        if isinstance(told, Exception):
            raise told
        return told


class Member:
    """A consumer as far as the watchdog looks at it."""

    def __init__(self, *assigned: TopicPartition, joined: bool = True) -> None:
        self._assigned = frozenset(assigned)
        self._joined = joined

    def assigned(self) -> frozenset[TopicPartition]:
        return self._assigned

    def joined(self) -> bool:
        return self._joined


async def look(member: Member, *told: Any, status: LoopStatus | None = None) -> None:
    stop = asyncio.Event()
    await watch(
        cast(Log, Lags(stop, *told)),
        cast(Consumer, member),
        status or LoopStatus(last_progress=0.0),
        group="scoring",
        topics=["responses"],
        stop=stop,
        window_seconds=WINDOW,
    )


STILL = {P0: Lag(0, 9, 3), P1: Lag(0, 9, 9)}


async def test_a_partition_that_stands_still_over_a_window_ends_the_process() -> None:
    with pytest.raises(Stuck, match="responses/0"):
        await look(Member(P0), STILL, STILL)


async def test_a_member_that_never_joined_answers_for_all_of_the_group() -> None:
    with pytest.raises(Stuck, match="responses/0"):
        await look(Member(joined=False), STILL, STILL)


async def test_a_spare_member_without_partitions_does_not_answer_for_the_others() -> None:
    await look(Member(), STILL, STILL, STILL)


@pytest.mark.parametrize(
    "told",
    [
        [STILL, {P0: Lag(0, 9, 4)}],
        [{P0: Lag(0, 3, 3)}, STILL],
        [STILL, Unavailable("the broker"), STILL],
        [{P1: Lag(0, 9, 3)}, {P1: Lag(0, 9, 3)}],
    ],
    ids=["it moves", "it was idle", "the broker was away", "it is another member's"],
)
async def test_what_explains_itself_is_left_alone(told: list[Any]) -> None:
    await look(Member(P0), *told)


@pytest.mark.parametrize(
    "status",
    [
        LoopStatus(last_progress=0.0, waiting={None: "database"}),
        LoopStatus(last_progress=0.0, stopped={P0: "poison"}),
    ],
    ids=["waits", "stopped on purpose"],
)
async def test_a_loop_that_waits_or_was_stopped_is_left_alone(status: LoopStatus) -> None:
    await look(Member(P0), STILL, STILL, status=status)
