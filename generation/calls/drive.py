"""Drives calls to a server: bounded concurrency, tries, limits; durable before used.

A worker takes its next call only when its last answer is on disk: a kill costs at most the calls
under way.

A prompt that gets no answer does not hold up its step for good. Refused (HTTP 400, 403, ...) while
other prompts are answered, it has that as its answer: none, with the reason. A prompt that fails in
all its tries is stored as failed, is asked last in later runs, and after `GIVEN_UP` such runs has
the cause as its answer. Only runs count in which, or before which, the step got answers; where no
connection is made or the server limits rates, only runs that got answers themselves.
"""

import asyncio
import contextlib
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from whyguard.core.errors import ArtefactError, WhyguardError
from whyguard.generation.calls import stops
from whyguard.generation.calls.budget import Costs, Lack, Meter, request_size
from whyguard.generation.calls.claims import Claims
from whyguard.generation.calls.commits import Committer
from whyguard.generation.calls.deadline import within
from whyguard.generation.calls.ledger import GIVEN_UP, Ended, Ledger, Payer, Spending
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

IN_A_ROW = 20
"""So many refusals with no answer between: they say nothing of the prompts."""
_POLL_SECONDS = 0.2
_TICK_SECONDS = 0.5
_CLAIMED_AHEAD = 2
"""Calls claimed at once, as a multiple of the workers."""
_MAYBE_PAID = (Cause.TIMEOUT, Cause.TRUNCATED, Cause.MALFORMED, Cause.CONNECTION)
"""The server may have generated, and charge for it: counted at its most."""
_NO_SERVER = (Cause.CONNECTION, Cause.RATE_LIMITED)
"""Says nothing of the prompt, unless others were answered in the same run."""
_NOTHING = Spending()


class Desk(NamedTuple):
    """What the calls of one run share."""

    ledger: Ledger
    claims: Claims
    meter: Meter
    panel: Panel
    payer: Payer
    since: float
    """Answers stored before this (seconds since 1970) are not used; 0: all are."""
    proven: bool
    """Whether earlier runs of the step got answers."""


class CallDrive:
    """One run of calls. `run` is to be awaited once.

    Raises (from `run`):
        Stop: the budget is spent, the server says no, or refuses or fails everything.
        TeacherError: the server cannot do what the config asks for.
        ArtefactError: the ledger, or a file beside it, cannot be written.
    """

    def __init__(self, teacher: CallTeacher, calls: Mapping[str, Task], config: TeacherConfig,
                 runtime: TeacherRuntime, desk: Desk) -> None:  # fmt: skip
        self._teacher, self._tasks, self._runtime, self._desk = teacher, calls, runtime, desk
        self._count = max(1, min(runtime.concurrency, len(calls)))
        self._workers: set[asyncio.Task[None]] = set()
        self._costs = Costs(runtime.prices, config.max_new_tokens)
        self._pace = Pace(runtime, self._count)
        self._committer = Committer(self._put)
        failed = desk.ledger.failed(calls)
        self._waiting, self._ready = deque(sorted(calls, key=failed.__contains__)), deque[str]()
        self._others: list[str] = []
        self._claiming = asyncio.Lock()
        self._stop: stops.Stop | None = None
        self._error: ArtefactError | None = None
        self._halt = asyncio.Event()
        self._settled = asyncio.Event()
        self._sending = 0
        self._unrecorded: dict[str, Spending] = {}
        """What was, or may be, paid for calls that are not in the ledger yet."""
        self._held: dict[str, Spending] = {}
        """What is reserved for them."""
        self._answered = False
        self._refused: list[Ended] = []
        self._row_of_failures: Counter[Cause] = Counter()
        self._failed: dict[str, Cause] = {}
        self._last = ("", "")

    async def run(self) -> None:
        """Ask for every call."""
        ticker = asyncio.create_task(self._tick())
        try:
            await self._teacher.open()
            while self._waiting and self._stop is None:
                await self._work_all()
                await self._judge_refused()
                if self._stop is None:
                    await self._wait_for_others()
            left = await self._committer.run(self._left)
        finally:
            ticker.cancel()
            await self._finish()
        if self._error is not None:
            raise self._error
        if self._stop is None and left:
            self._stop = stops.failures(left, *self._last)
        if self._stop is not None:
            raise self._stop

    def _left(self) -> Counter[Cause]:
        """Failures that are no answers (yet)."""
        known = self._desk.ledger.get(self._failed, self._desk.since) if self._failed else {}
        return Counter(cause for key, cause in self._failed.items() if key not in known)

    async def _finish(self) -> None:
        """Wait for what is being written, and count what was paid for in vain."""
        try:
            await self._teacher.close()
        finally:
            await self._committer.close()
            desk = self._desk
            desk.ledger.spend(desk.payer.account, _total(self._unrecorded.values()))
            desk.meter.settle(_total(self._held.values()), ended=0)

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
        try:
            while self._stop is None and (key := await self._next()) is not None:
                await self._ask(key, self._tasks[key])
        except stops.Stop as stop:
            self._give_up(stop)
        except ArtefactError as error:  # the other workers' answers may still be stored
            self._error = self._error or error
            self._give_up(stops.Stop(str(error), stops.AGAIN))

    async def _next(self) -> str | None:
        """The next call that this process may make: claimed, and not in the ledger."""
        async with self._claiming:
            while not self._ready and self._waiting:
                count = min(len(self._waiting), max(64, _CLAIMED_AHEAD * self._count))
                chunk = [self._waiting.popleft() for _ in range(count)]
                mine, known = await self._committer.run(partial(self._claim, chunk))
                self._ready.extend(key for key in chunk if key in mine and key not in known)
                self._others += [key for key in chunk if key not in mine and key not in known]
                self._desk.panel.ended(len(known))
            return self._ready.popleft() if self._ready else None

    def _claim(self, keys: Sequence[str]) -> tuple[set[str], set[str]]:
        mine = self._desk.claims.take(keys)
        return mine, set(self._desk.ledger.get(keys, self._desk.since))

    async def _ask(self, key: str, task: Task) -> None:
        """All tries of one call, up to its answer or failure on disk.

        Raises:
            Stop: it may not be sent (again); a failure is stored all the same.
        """
        size, error = request_size(task), None
        for attempt in range(self._runtime.tries):
            try:
                await self._try(key, task, size)
                return
            except CallError as failed:
                error = failed
                self._note_failure(error, task)
                last = attempt + 1 == self._runtime.tries or not error.cause.passing
                if last or self._stop is not None:
                    await self._store_failure(key, error, counts=last)
                    return
                await self._rest(self._pace.after(error, attempt))
            except stops.Stop:
                if error is not None:
                    await self._store_failure(key, error, counts=False)
                raise

    async def _try(self, key: str, task: Task, size: int) -> None:
        """One try, up to its answer on disk; what it costs is in `_unrecorded` however it ends.

        Raises:
            CallError: no answer came.
            Stop: it may not be sent.
            ArtefactError: the answer, or that it is under way, cannot be written.
        """
        await self._turn(self._costs.guess(size))
        await self._reserve(key, self._costs.bound(size))
        self._sending += 1
        try:
            answer = await self._send(key, task, size)
            self._note_success()
            await self._store(Ended(key, answer, self._unrecorded[key]))
        except CallError:
            await self._hold_what_is_paid(key)
            raise
        finally:
            self._sending -= 1
            self._settled.set()
        if self._refused and self._stop is None:
            await self._judge_refused()

    async def _send(self, key: str, task: Task, size: int) -> Answer:
        most, so_far = self._costs.bound(size), self._unrecorded.get(key, _NOTHING)
        cost = most
        self._unrecorded[key] = so_far.plus(most)
        try:
            answer = await self._call(task)
            cost = self._costs.actual(size, answer)
            self._pace.correct(self._costs.guess(size), cost.tokens)
            return answer
        except CallError as error:
            cost = most if error.cause in _MAYBE_PAID else Spending(1)
            raise
        finally:
            self._unrecorded[key] = so_far.plus(cost)
            self._desk.panel.paid(cost)

    async def _call(self, task: Task) -> Answer:
        """What the teacher says; whatever else goes wrong in there is a malformed reply."""
        try:
            async with within(self._runtime.deadline_seconds):
                return await self._teacher.call(task)
        except TimeoutError as error:
            raise CallError(Cause.TIMEOUT, f"{self._runtime.deadline_seconds:g} s") from error
        except (CallError, WhyguardError):
            raise
        except Exception as error:
            raise CallError(Cause.MALFORMED, f"unforeseen {type(error).__name__}") from error

    async def _turn(self, guess: int) -> None:
        """Wait until the limits a minute, and the server, let a call start.

        Raises:
            Stop: the run stops.
        """
        turn = self._pace.turn(guess)
        while self._stop is None and (left := self._pace.left(turn)) > 0:
            await self._rest(left)
        if self._stop is not None:
            raise self._stop

    async def _reserve(self, key: str, most: Spending) -> None:
        """Wait until the budget has room for a try; calls that end, here or elsewhere, may leave
        some.

        Raises:
            Stop: none is under way that could.
        """
        meter = self._desk.meter
        while meter.limited and (lack := await self._lack(most)) is not None:
            if self._stop is not None or not (self._sending or lack.passing):
                raise self._stop or stops.out_of_budget(meter.budget, lack, most)
            if self._sending:
                self._settled.clear()
                await self._settled.wait()
            else:
                await self._rest(_POLL_SECONDS)
        if meter.limited:
            self._held[key] = self._held.get(key, _NOTHING).plus(most)

    async def _lack(self, most: Spending) -> Lack | None:
        return await self._committer.run(partial(self._desk.meter.reserve, most))

    async def _hold_what_is_paid(self, key: str) -> None:
        """After a try that failed: reserve no more than it cost."""
        if self._desk.meter.limited:
            held, paid = self._held[key], self._unrecorded[key]
            self._held[key] = paid
            await self._committer.run(partial(self._desk.meter.settle, held, paid))

    def _put(self, ended: Sequence[Ended]) -> None:
        """Store; only then forget what was paid, and let go of what was reserved for it."""
        desk = self._desk
        desk.ledger.put(ended, desk.payer, desk.since)
        for item in ended:
            self._unrecorded.pop(item.key, None)
        held = _total([self._held.pop(item.key, _NOTHING) for item in ended])
        desk.meter.settle(held, ended=sum(item.answer is not None for item in ended))
        lost = [item.key for item in ended if item.cause is not None and item.runs < GIVEN_UP]
        if lost:
            with contextlib.suppress(ArtefactError):  # then they are free at the run's end
                desk.claims.give_back(lost)

    async def _store(self, ended: Ended) -> None:
        # What is handed over gets written, even where this worker is cancelled meanwhile.
        await self._committer.store(ended)
        self._desk.panel.ended()

    async def _store_failure(self, key: str, error: CallError, *, counts: bool) -> None:
        ended = Ended(key, None, self._unrecorded[key], error.cause, error.detail)
        if error.cause is Cause.REFUSED:
            self._refused.append(ended)
            if len(self._refused) >= IN_A_ROW:
                self._give_up(stops.refuses_everything(len(self._refused), error.detail))
            return
        self._failed[key] = error.cause
        proven = self._answered or (self._desk.proven and error.cause not in _NO_SERVER)
        counts = counts and proven and error.cause.passing
        await self._store(ended._replace(runs=int(counts)))

    async def _judge_refused(self) -> None:
        """Refusals wait for the next answer: a server that refuses everything judges no prompt."""
        refused, self._refused = self._refused, []
        if not refused:
            return
        judged = self._answered and len(refused) < IN_A_ROW
        runs = GIVEN_UP if judged else int(self._answered or self._desk.proven)
        await asyncio.gather(*(self._store(ended._replace(runs=runs)) for ended in refused))
        if not judged:
            self._failed.update((ended.key, Cause.REFUSED) for ended in refused)
            left = await self._committer.run(self._left)
            if left and self._stop is None:
                self._give_up(stops.refuses_everything(len(refused), refused[-1].detail))

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
            if tries >= max(IN_A_ROW, self._runtime.tries * self._runtime.concurrency):
                causes = Counter(self._row_of_failures)
                self._give_up(stops.no_success(tries, causes, *self._last))

    def _give_up(self, stop: stops.Stop) -> None:
        self._stop = self._stop or stop
        self._halt.set()
        self._settled.set()  # what is under way may end: each try has its deadline

    async def _rest(self, seconds: float) -> None:
        """Wait, unless the run stops."""
        try:
            await asyncio.wait_for(self._halt.wait(), seconds)
        except TimeoutError:
            return

    async def _wait_for_others(self) -> None:
        """Wait for answers that another process asks for; take over what it leaves."""
        while self._others and not self._waiting:
            mine, known = await self._committer.run(partial(self._claim, self._others))
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


def _total(parts: Iterable[Spending]) -> Spending:
    total = _NOTHING
    for part in parts:
        total = total.plus(part)
    return total
