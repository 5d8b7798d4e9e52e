"""Counts what is being handled, so that a rebalance can wait until nothing is."""

import asyncio


class InFlight:
    """Entered by each partition's handling for as long as it runs; any number may be inside."""

    def __init__(self) -> None:
        self._inside = 0
        self._nothing = asyncio.Event()
        self._nothing.set()

    def __enter__(self) -> None:
        self._inside += 1
        self._nothing.clear()

    def __exit__(self, *raised: object) -> None:
        self._inside -= 1
        if not self._inside:
            self._nothing.set()

    def __bool__(self) -> bool:
        return self._inside > 0

    async def landed(self) -> None:
        """Return once nothing is in flight."""
        await self._nothing.wait()
