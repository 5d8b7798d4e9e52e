"""Looks up many things at once: what is asked while one look-up is under way waits, and shares the next."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, Generic, TypeVar

from shared.errors import Unavailable

K = TypeVar("K")
V = TypeVar("V")

_MOST: Final = 256
"""How many keys one look-up takes at most; what is more waits for the one after it."""


class Together(Generic[K, V]):
    """One look-up at a time, for all who wait. It never begins before it was asked for, so whoever asks sees what was
    committed before; alone, one asks at once."""

    def __init__(
        self,
        look_up: Callable[[Sequence[K]], Awaitable[Mapping[K, V]]],
        *,
        patience_seconds: float = 10.0,
    ) -> None:
        self._look_up = look_up
        self._patience_seconds = patience_seconds
        self._waiting: list[tuple[K, asyncio.Future[V]]] = []
        self._under_way: asyncio.Task[None] | None = None

    async def ask(self, key: K) -> V:
        """What the look-up finds for the key. Raises what the look-up raises, as do all who shared it, and
        `Unavailable` when it takes longer than the patience: one that hangs must not hold everybody."""
        found: asyncio.Future[V] = asyncio.get_running_loop().create_future()
        self._waiting.append((key, found))
        if self._under_way is None:
            self._under_way = asyncio.create_task(self._run())
        try:
            async with asyncio.timeout(self._patience_seconds):
                return await found
        except TimeoutError:
            raise Unavailable("a look-up takes too long") from None

    async def _run(self) -> None:
        try:
            while self._waiting:
                asked, self._waiting = self._waiting[:_MOST], self._waiting[_MOST:]
                await self._answer([(key, found) for key, found in asked if not found.done()])
        finally:
            self._under_way = None

    async def _answer(self, asked: Sequence[tuple[K, asyncio.Future[V]]]) -> None:
        if not asked:
            return
        try:
            answers = await self._look_up(list(dict.fromkeys(key for key, _ in asked)))
        except Exception as error:  # noqa: BLE001 - raised again where it was asked
            for _, found in asked:
                if not found.done():
                    found.set_exception(error)
            return
        for key, found in asked:
            if not found.done():  # who asked may have gone
                found.set_result(answers[key])
