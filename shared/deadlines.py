"""Ends what takes too long, with one timer for many calls: one for each is a tenth of what a webhook costs."""

import asyncio
from math import inf
from types import TracebackType


class Deadlines:
    """The calls of one event loop that are under way, and when each must have ended."""

    def __init__(self) -> None:
        self._ends: dict[asyncio.Timeout, float] = {}
        self._next = inf
        self._timer: asyncio.TimerHandle | None = None

    def within(self, seconds: float) -> "Within":
        """A context like that of `asyncio.timeout`: what is not done in time is cancelled and raises `TimeoutError`."""
        return Within(self, seconds)

    def add(self, limit: asyncio.Timeout, seconds: float) -> None:
        """End what this limits, after that time."""
        end = asyncio.get_running_loop().time() + seconds
        self._ends[limit] = end
        if end < self._next:
            self._wait_for(end)

    def remove(self, limit: asyncio.Timeout) -> None:
        """What this limits has ended. The timer stays: there will be another call before it is up."""
        self._ends.pop(limit, None)

    def _wait_for(self, end: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._next = end
        self._timer = asyncio.get_running_loop().call_at(end, self._end) if end < inf else None

    def _end(self) -> None:
        """End all that is overdue and wait for the next."""
        now = asyncio.get_running_loop().time()
        for limit in [limit for limit, end in self._ends.items() if end <= now]:
            del self._ends[limit]
            limit.reschedule(now)
        self._wait_for(min(self._ends.values(), default=inf))


class Within:
    """The context of one call."""

    def __init__(self, deadlines: Deadlines, seconds: float) -> None:
        self._deadlines = deadlines
        self._seconds = seconds
        self._limit = asyncio.timeout(None)

    async def __aenter__(self) -> None:
        await self._limit.__aenter__()
        self._deadlines.add(self._limit, self._seconds)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._deadlines.remove(self._limit)
        await self._limit.__aexit__(kind, error, trace)
