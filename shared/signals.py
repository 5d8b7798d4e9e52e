"""Wakes a loop in this process without polling; a wake-up between two looks is never lost."""

import asyncio
from contextlib import suppress


class Signal:
    """Counts notifications; a waiter names the count it has seen and returns at once when it is behind."""

    def __init__(self) -> None:
        self.count = 0
        self._event: asyncio.Event | None = None

    def notify(self) -> None:
        self.count += 1
        if self._event is not None:
            self._event.set()
            self._event = None

    async def wait(self, seen: int, timeout_seconds: float) -> None:
        """Return when the count has passed `seen`, at the latest after the timeout."""
        if self.count == seen:
            event = self._event = self._event or asyncio.Event()
            with suppress(TimeoutError):
                await asyncio.wait_for(event.wait(), timeout_seconds)
