"""Group commits: what ends while one transaction is being flushed goes into the next one."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from whyguard.generation.calls.ledger import Ended

T = TypeVar("T")
_GATHER_SECONDS = 0.003
"""Replies that come within this are flushed together: short beside a call, long beside a flush."""
_Waiting = list[tuple[Ended, "asyncio.Future[None]"]]


class Committer:
    """One thread that writes; `store` returns when its call is on disk."""

    def __init__(self, put: Callable[[Sequence[Ended]], None]) -> None:
        self._put = put
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="ledger")
        self._waiting: _Waiting = []
        self._job: asyncio.Task[None] | None = None

    async def store(self, ended: Ended) -> None:
        """Wait until it is durable.

        Raises:
            ArtefactError: it could not be stored.
        """
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((ended, done))
        if self._job is None:
            self._job = asyncio.create_task(self._commit())
        await done

    async def run(self, work: Callable[[], T]) -> T:
        """Do something else in the thread that writes."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    async def close(self) -> None:
        """Wait for what is being written."""
        if self._job is not None:
            await self._job
        self._pool.shutdown()

    async def _commit(self) -> None:
        await asyncio.sleep(_GATHER_SECONDS)
        while self._waiting:
            group, self._waiting = self._waiting, []
            error = await self.run(lambda: self._try([ended for ended, _ in group]))  # noqa: B023
            for _, done in group:
                if done.done():
                    continue  # its worker was cancelled; the row is stored all the same
                if error is None:
                    done.set_result(None)
                else:
                    done.set_exception(error)
        self._job = None

    def _try(self, group: list[Ended]) -> Exception | None:
        try:
            self._put(group)
        except Exception as error:  # handed to the workers that wait
            return error
        return None
