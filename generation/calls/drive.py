"""Drives calls to a server: bounded concurrency, tries, limits; durable before used.

A worker takes its next call only when its last answer is on disk: a kill costs at most the calls
under way.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from whyguard.generation.calls import stops
from whyguard.generation.calls.budget import Costs, Meter, request_size
from whyguard.generation.calls.claims import Claims
from whyguard.generation.calls.commits import Committer
from whyguard.generation.calls.ledger import Ended, Ledger, Payer, Spending
from whyguard.generation.calls.panel import Panel
from whyguard.generation.calls.rates import Pace
from whyguard.generation.teachers.base import (
    Answer,
    CallTeacher,
    Task,
    TeacherConfig,
    TeacherRuntime,
)
from whyguard.generation.teachers.failures import CallError, Cause

DRAIN_SECONDS = 5.0
"""How long calls under way may still end when a run stops by itself."""
REFUSED_AT_START = 20
"""So many refusals and no success: the server refuses everything."""
_POLL_SECONDS = 0.2
_TICK_SECONDS = 0.5
_CLAIMED_AHEAD = 2
"""Calls claimed at once, as a multiple of the workers."""
_MAYBE_PAID = (Cause.TIMEOUT, Cause.TRUNCATED, Cause.MALFORMED, Cause.CONNECTION)
"""The server may have generated, and charge for it: counted at its most."""


class Desk(NamedTuple):
    """What the calls of one run share."""

    ledger: Ledger
    claims: Claims
    meter: Meter
    panel: Panel
    payer: Payer
    since: float
    """Answers stored before this (seconds since 1970) are not used; 0: all are."""


class CallDrive:
    """One run of calls. `run` is to be awaited once.

    Raises (from `run`):
        Stop: the budget is spent, the server says no, or refuses or fails everything.
        TeacherError: the server cannot do what the config asks for.
        ArtefactError: the ledger cannot be written.
    """

    def __init__(self, teacher: CallTeacher, calls: Mapping[str, Task], config: TeacherConfig,
                 runtime: TeacherRuntime, desk: Desk) -> None:  # fmt: skip
        self._teacher, self._tasks, self._runtime, self._desk = teacher, calls, runtime, desk
        self._count = max(1, min(runtime.concurrency, len(calls)))
        self._workers: set[asyncio.Task[None]] = set()
        self._costs = Costs(runtime.prices, config.max_new_tokens)
        self._pace = Pace(runtime, self._count)
        self._committer = Committer(self._put)
        self._waiting, self._ready = deque[str](calls), deque[str]()
        self._others: list[str] = []
        self._claiming = asyncio.Lock()
        self._stop: stops.Stop | None = None
        self._halt = asyncio.Event()
        self._settled = asyncio.Event()
        self._sending = 0
        self._unrecorded: dict[str, Spending] = {}
        self._answered = False
        self._refused: list[Ended] = []
        self._row_of_failures: Counter[Cause] = Counter()
        self._failed: Counter[Cause] = Counter()
        self._last = ("", "")

    async def run(self) -> None:
        """Ask for every call."""
        ticker = asyncio.create_task(self._tick())
        try:
            await self._teacher.open()
            while self._waiting and self._stop is None:
                await self._work_all()
                if self._stop is None:
                    await self._store_refused()
                    await self._wait_for_others()
        finally:
            ticker.cancel()
            await self._teacher.close()
            await self._committer.close()
            for spending in self._unrecorded.values():
                self._desk.ledger.spend(self._desk.payer.account, spending)
        if self._stop is None and self._failed:
            self._stop = stops.failures(self._failed, *self._last)
        if self._stop is not None:
            raise self._stop

    async def _work_all(self) -> None:
        self._workers = {asyncio.create_task(self._work()) for _ in range(self._count)}
        try:
            done, _ = await asyncio.wait(self._workers, return_when=asyncio.FIRST_EXCEPTION)
            for worker in done:
                if not worker.cancelled():
                    worker.result()
        finally:
            self._cut_off()
            await asyncio.gather(*self._workers, return_exceptions=True)

    def _cut_off(self) -> None:
        for worker in self._workers:
            worker.cancel()

    async def _work(self) -> None:
        while self._stop is None and (key := await self._next()) is not None:
            await self._ask(key, self._tasks[key])

    async def _next(self) -> str | None:
        """The next call that this process may make: claimed, and not in the ledger."""
        async with self._claiming:
            while not self._ready and self._waiting:
                count = min(len(self._waiting), max(64, _CLAIMED_AHEAD * self._count))
                chunk = [self._waiting.popleft() for _ in range(count)]
                mine, known = await self._committer.run(lambda: self._claim(chunk))  # noqa: B023
                self._ready.extend(key for key in chunk if key in mine and key not in known)
                self._others += [key for key in chunk if key not in mine and key not in known]
                self._desk.panel.ended(len(known))
            return self._ready.popleft() if self._ready else None

    def _claim(self, keys: Sequence[str]) -> tuple[set[str], set[str]]:
        mine = self._desk.claims.take(keys)
        return mine, set(self._desk.ledger.get(keys, self._desk.since))

    async def _ask(self, key: str, task: Task) -> None:
        """All tries of one call, up to its answer or failure on disk."""
        error = CallError(Cause.CONNECTION, "not sent")
        size = request_size(task)
        for attempt in range(self._runtime.tries):
            try:
                answer = await self._try(key, task, size)
            except CallError as failed:
                error = failed
                self._note_failure(error, task)
                if not error.cause.passing:
                    break
                if attempt + 1 < self._runtime.tries:
                    await self._rest(self._pace.after(error, attempt))
            except stops.Stop as stop:
                self._give_up(stop)
            else:
                self._note_success()
                await self._store(Ended(key, answer, self._unrecorded[key]))
                if self._refused:
                    await self._store_refused()
                return
            if self._stop is not None:
                return  # neither answer nor failure: it is asked again next time
        await self._store_failure(key, error)

    async def _try(self, key: str, task: Task, size: int) -> Answer:
        """One try; what it costs is in `_unrecorded` however it ends.

        Raises:
            CallError: no answer came.
            Stop: it may not be sent.
        """
        most, guess = self._costs.bound(size), self._costs.guess(size)
        await self._turn(guess)
        await self._reserve(most)
        self._sending += 1
        so_far, cost = self._unrecorded.get(key), most
        self._unrecorded[key] = so_far.plus(cost) if so_far else cost
        try:
            async with asyncio.timeout(self._runtime.deadline_seconds):
                answer = await self._teacher.call(task)
            cost = self._costs.actual(size, answer)
            self._pace.correct(guess, cost.tokens)
            return answer
        except TimeoutError as error:
            raise CallError(Cause.TIMEOUT, f"{self._runtime.deadline_seconds:g} s") from error
        except CallError as error:
            cost = most if error.cause in _MAYBE_PAID else Spending(1)
            raise
        finally:
            self._sending -= 1
            self._unrecorded[key] = so_far.plus(cost) if so_far else cost
            self._desk.panel.paid(cost)
            self._desk.meter.settle(most, cost)
            self._settled.set()

    async def _turn(self, guess: int) -> None:
        """Wait until the limits a minute, and the server, let a call start.

        Raises:
            Stop: the run stops meanwhile.
        """
        turn = self._pace.turn(guess)
        while (left := self._pace.left(turn)) > 0:
            await self._rest(left)
            if self._stop is not None:
                raise self._stop

    async def _reserve(self, most: Spending) -> None:
        """Wait until the budget has room for a try; calls that end may leave some.

        Raises:
            Stop: none is under way that could.
        """
        while not self._desk.meter.reserve(most):
            if self._stop is not None or not self._sending:
                meter = self._desk.meter
                raise self._stop or stops.out_of_budget(meter.budget, meter.spent(), most)
            self._settled.clear()
            await self._settled.wait()

    def _put(self, ended: Sequence[Ended]) -> None:
        self._desk.ledger.put(ended, self._desk.payer, self._desk.since)
        lost = [item.key for item in ended if item.cause is not None and item.cause.passing]
        if lost:
            self._desk.claims.give_back(lost)

    async def _store(self, ended: Ended) -> None:
        # What is handed over gets written, even where this worker is cancelled meanwhile.
        self._unrecorded.pop(ended.key)
        await self._committer.store(ended)
        self._desk.meter.settle(ended.spending)
        self._desk.panel.ended()

    async def _store_failure(self, key: str, error: CallError) -> None:
        ended = Ended(key, None, self._unrecorded[key], error.cause, error.detail)
        if error.cause is not Cause.REFUSED:
            self._failed[error.cause] += 1
            await self._store(ended)
        elif self._answered:
            await self._store(ended)
        else:
            self._refused.append(ended)
            if len(self._refused) >= REFUSED_AT_START:
                self._give_up(stops.refuses_everything(len(self._refused), error.detail))

    async def _store_refused(self) -> None:
        """Refusals wait for the first success: a server that refuses everything judges nothing."""
        refused, self._refused = self._refused, []
        await asyncio.gather(*(self._store(ended) for ended in refused))

    def _note_success(self) -> None:
        self._answered = True
        self._row_of_failures.clear()
        self._pace.succeeded()

    def _note_failure(self, error: CallError, task: Task) -> None:
        self._desk.panel.failed(error.cause)
        self._last = (error.detail, task.prompt_id)
        if error.cause is Cause.FORBIDDEN:
            self._give_up(stops.forbidden(error.detail, task.prompt_id))
        if error.cause.passing:
            self._row_of_failures[error.cause] += 1
            tries = self._row_of_failures.total()
            if tries >= self._runtime.tries * self._runtime.concurrency:
                causes = Counter(self._row_of_failures)
                self._give_up(stops.no_success(tries, causes, *self._last))

    def _give_up(self, stop: stops.Stop) -> None:
        self._stop = self._stop or stop
        self._halt.set()
        self._settled.set()
        asyncio.get_running_loop().call_later(DRAIN_SECONDS, self._cut_off)

    async def _rest(self, seconds: float) -> None:
        """Wait, unless the run stops."""
        try:
            await asyncio.wait_for(self._halt.wait(), seconds)
        except TimeoutError:
            return

    async def _wait_for_others(self) -> None:
        """Wait for answers that another process asks for; take over what it leaves."""
        while self._others and not self._waiting:
            mine, known = await self._committer.run(lambda: self._claim(self._others))
            self._desk.panel.ended(len(known))
            self._waiting.extend(mine - known)
            self._others = [key for key in self._others if key not in mine and key not in known]
            self._desk.panel.waiting = len(self._others)
            if self._others and not self._waiting:
                await self._rest(_POLL_SECONDS)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            self._desk.panel.tick()
