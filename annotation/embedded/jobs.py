"""Argilla's background jobs run in the server's own loop: no Redis, no worker."""

import asyncio
import logging
import uuid
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from argilla_server import _app
from argilla_server.api.handlers.v1 import jobs as handler
from argilla_server.jobs import queues
from rq.exceptions import NoSuchJobError

_LOG = logging.getLogger(__name__)
_REMEMBERED = 1000


class InlineJob:
    """A job as Argilla looks at it: an id and a status (queued, started, finished, failed)."""

    def __init__(self) -> None:
        self.id, self.status = str(uuid.uuid4()), "queued"

    def get_status(self, refresh: bool = True) -> str:
        """How far it is."""
        return self.status

    async def run(self, work: Callable[[], Awaitable[Any]], waits: Sequence[float]) -> None:
        """Do the work, again after each of the waits (seconds) as long as it fails."""
        self.status = "started"
        for wait in (*waits, None):
            try:
                await work()
            except Exception:
                _LOG.exception("job %s failed", self.id)
                if wait is None:
                    self.status = "failed"
                    return
                await asyncio.sleep(wait)
            else:
                self.status = "finished"
                return


class InlineJobs:
    """The jobs of this process."""

    def __init__(self) -> None:
        self._jobs: OrderedDict[str, InlineJob] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()

    def enqueue_call(
        self,
        func: Callable[..., Awaitable[Any]],
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        retry: Any = None,
        **_: Any,
    ) -> InlineJob:
        """Start a job; takes the place of the method of that name of an rq queue."""
        job = InlineJob()
        self._jobs[job.id] = job
        while len(self._jobs) > _REMEMBERED:
            self._jobs.popitem(last=False)
        work = job.run(lambda: func(*(args or ()), **(kwargs or {})), _waits(retry))
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return job

    def fetch(self, job_id: str, connection: Any = None) -> InlineJob:
        """The job of that id.

        Raises:
            NoSuchJobError: there is none.
        """
        if job_id not in self._jobs:
            raise NoSuchJobError(job_id)
        return self._jobs[job_id]


def _waits(retry: Any) -> list[float]:
    """Seconds before each retry; the last of the named ones stands for all that follow."""
    if retry is None:
        return []
    named = [float(seconds) for seconds in retry.intervals or [0]]
    return [named[min(number, len(named) - 1)] for number in range(retry.max)]


def run_inline() -> InlineJobs:
    """Let Argilla's queues start their jobs here, and never look for Redis."""
    jobs = InlineJobs()
    for queue in (queues.DEFAULT_QUEUE, queues.HIGH_QUEUE):
        queue.enqueue_call = jobs.enqueue_call
    handler.Job = jobs
    _app.configure_redis = lambda: None
    return jobs
