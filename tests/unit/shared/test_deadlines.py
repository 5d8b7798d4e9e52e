"""One timer for many calls: each ends at its own time, whatever the others do."""

import asyncio

import pytest

from shared.deadlines import Deadlines

SOON = 0.01
NEVER = 60.0


async def hang(deadlines: Deadlines, seconds: float) -> None:
    async with deadlines.within(seconds):
        await asyncio.Event().wait()


async def test_what_ends_in_time_is_left_alone() -> None:
    deadlines = Deadlines()
    async with deadlines.within(SOON):
        pass
    with pytest.raises(TimeoutError):
        await hang(deadlines, 2 * SOON)  # the timer of the first is up meanwhile


async def test_only_what_is_overdue_is_ended() -> None:
    deadlines = Deadlines()
    patient = asyncio.create_task(hang(deadlines, NEVER))
    await asyncio.sleep(0)
    for _ in range(2):
        hasty = [hang(deadlines, SOON), hang(deadlines, 0.0), hang(deadlines, 2 * SOON)]
        ended = await asyncio.gather(*hasty, return_exceptions=True)
        assert [type(error) for error in ended] == [TimeoutError] * 3
    assert not patient.done()
    patient.cancel()
    with pytest.raises(asyncio.CancelledError):
        await patient


async def test_another_error_comes_through() -> None:
    with pytest.raises(ConnectionError):
        async with Deadlines().within(NEVER):
            raise ConnectionError


async def test_an_end_that_takes_its_time_is_not_ended_again() -> None:
    deadlines = Deadlines()

    async def linger() -> None:
        async with deadlines.within(SOON):
            try:
                await asyncio.Event().wait()
            finally:
                with pytest.raises(TimeoutError):
                    await hang(deadlines, SOON)

    with pytest.raises(TimeoutError):
        await linger()
