"""Look-ups that leave together: nobody is answered by one that began before it asked, and a failure is everybody's."""

import asyncio
from collections.abc import Sequence

import pytest

from services.ingest.page.together import Together
from shared.errors import Unavailable


class Store:
    """A look-up that waits until it is let go, and counts how often a key was asked for before it began."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.value = 0
        self.free = asyncio.Event()
        self.fails = False

    async def look_up(self, keys: Sequence[str]) -> dict[str, str]:
        self.asked.append(list(keys))
        seen = self.value
        await self.free.wait()
        if self.fails:
            raise Unavailable("away")
        return {key: f"{key}{seen}" for key in keys}


async def _until_waiting(store: Store, look_ups: int) -> None:
    while len(store.asked) < look_ups:
        await asyncio.sleep(0)


async def _until_free(together: Together[str, str]) -> None:
    while together._under_way is not None:
        await asyncio.sleep(0)


async def test_what_comes_meanwhile_shares_the_next_and_sees_what_was_there_when_it_asked() -> None:
    store = Store()
    together = Together(store.look_up)
    first = asyncio.create_task(together.ask("a"))
    await _until_waiting(store, 1)
    store.value = 1
    later = [asyncio.create_task(together.ask(key)) for key in ("a", "b", "b")]
    store.free.set()
    assert await first == "a0"
    assert await asyncio.gather(*later) == ["a1", "b1", "b1"]
    assert store.asked == [["a"], ["a", "b"]]


async def test_a_failure_is_raised_for_all_who_shared_it_and_ends_with_it() -> None:
    store = Store()
    together = Together(store.look_up)
    store.fails = True
    store.free.set()
    answers = await asyncio.gather(*(together.ask(key) for key in "abc"), return_exceptions=True)
    assert [type(answer) for answer in answers] == [Unavailable] * 3
    store.fails = False
    assert await together.ask("a") == "a0"


async def test_who_leaves_takes_nothing_from_the_others() -> None:
    store = Store()
    together = Together(store.look_up)
    first, second = (asyncio.create_task(together.ask(key)) for key in "ab")
    await _until_waiting(store, 1)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    store.free.set()
    assert await second == "b0"
    assert await together.ask("c") == "c0"


async def test_a_look_up_is_bounded() -> None:
    store = Store()
    together = Together(store.look_up)
    store.free.set()
    keys = [str(number) for number in range(600)]
    assert await asyncio.gather(*map(together.ask, keys)) == [f"{key}0" for key in keys]
    assert [len(asked) for asked in store.asked] == [256, 256, 88]


async def test_one_that_hangs_holds_nobody_for_ever_and_is_not_joined_by_another() -> None:
    store = Store()
    together = Together(store.look_up, patience_seconds=0.01)
    for key in "ab":
        with pytest.raises(Unavailable):
            await together.ask(key)
    assert store.asked == [["a"]]
    store.free.set()
    await _until_free(together)
    assert await together.ask("c") == "c0"
    assert store.asked == [["a"], ["c"]]
