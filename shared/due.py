"""Work that a clock or a commit makes due: one loop that steps until nothing is left, then waits."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from shared.errors import Unavailable
from shared.instruments import RETRIES, STEP_ROWS, STEP_SECONDS
from shared.signals import Signal
from shared.telemetry import log

_BACKOFF_SECONDS = 1.0


async def run_steps(
    service: str,
    name: str,
    step: Callable[[], Awaitable[int]],
    *,
    signal: Signal,
    stop: asyncio.Event,
    poll_seconds: float,
    batch: int = 1,
) -> None:
    """Call `step` again and again; it does one bounded piece of what is due and returns how much that was.

    When that is less than a whole batch, nothing is left: wait for the signal or the poll (rows due later, rows of
    other replicas). A dependency that is away is waited for; any other error ends the loop and with it the process:
    a step never skips a row.
    """
    seconds, rows = STEP_SECONDS.labels(service, name), STEP_ROWS.labels(service, name)
    retries = RETRIES.labels(service)
    waker = asyncio.create_task(_notify_at(stop, signal))
    try:
        while not stop.is_set():
            seen = signal.count
            started = time.monotonic()
            try:
                done = await step()
            except Unavailable as error:
                log.warning("step_waits", service=service, step=name, reason=str(error))
                retries.inc()
                await signal.wait(signal.count, _BACKOFF_SECONDS)
                continue
            if done:
                seconds.observe(time.monotonic() - started)
                rows.inc(done)
            if done < batch:
                await signal.wait(seen, poll_seconds)
    finally:
        waker.cancel()


async def _notify_at(stop: asyncio.Event, signal: Signal) -> None:
    """Let nobody sleep through the end."""
    await stop.wait()
    signal.notify()
