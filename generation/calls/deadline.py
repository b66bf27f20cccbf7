"""A deadline for one call: that this process stood still is not held against the server."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

_SLICES = 8


@asynccontextmanager
async def within(seconds: float) -> AsyncIterator[None]:
    """Cancel the block where it takes longer than this.

    The time passes in slices, one after the other: while the process stands still (stopped,
    suspended, starved of its processor) one of them ends at most. Then what came meanwhile is read.
    A plain timeout would end the calls first: their replies, there and paid for, would be lost.

    Raises:
        TimeoutError: the block was cancelled so.
    """
    async with asyncio.timeout(None) as limit:
        slices = _Slices(limit, seconds / _SLICES)
        try:
            yield
        finally:
            slices.cancel()


class _Slices:
    """All slices but the last; then the limit is set to it."""

    def __init__(self, limit: asyncio.Timeout, each: float) -> None:
        self._limit, self._each, self._loop = limit, each, asyncio.get_running_loop()
        self._begin(_SLICES - 1)

    def _begin(self, left: int) -> None:
        if left:
            self._timer = self._loop.call_later(self._each, self._begin, left - 1)
        else:
            self._limit.reschedule(self._loop.time() + self._each)

    def cancel(self) -> None:
        self._timer.cancel()
