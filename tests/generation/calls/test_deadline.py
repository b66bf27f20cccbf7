"""Deadlines of calls: as long as they say, and blind to a process that stood still."""

import asyncio
import time

import pytest

from whyguard.generation.calls.deadline import within


@pytest.mark.parametrize("seconds", [0.08, 0.4])
def test_it_ends_after_its_time_and_not_before(seconds: float) -> None:
    async def hang() -> None:
        async with within(seconds):
            await asyncio.sleep(60)

    started = time.monotonic()
    with pytest.raises(TimeoutError):
        asyncio.run(hang())
    assert seconds * 0.99 <= time.monotonic() - started < seconds + 20


def test_what_ends_in_time_leaves_no_timer() -> None:
    async def quick() -> str:
        async with within(0.05):
            await asyncio.sleep(0)
        await asyncio.sleep(0.2)
        return "not cancelled later"

    assert asyncio.run(quick()) == "not cancelled later"


def test_a_standstill_costs_one_slice() -> None:
    async def stand_still() -> str:
        async with within(0.4):
            time.sleep(1.0)
            await asyncio.sleep(0.1)
        return "done"

    assert asyncio.run(stand_still()) == "done"


def test_errors_and_cancellations_of_the_block_pass() -> None:
    async def fail() -> None:
        async with within(5.0):
            raise KeyError("of the block")

    async def cancelled() -> None:
        async with asyncio.timeout(0.05), within(60.0):
            await asyncio.sleep(60)

    with pytest.raises(KeyError):
        asyncio.run(fail())
    started = time.monotonic()
    with pytest.raises(TimeoutError):
        asyncio.run(cancelled())
    assert time.monotonic() - started < 20
