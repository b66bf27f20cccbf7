"""Asks a teacher for every task, through the ledger, so that a rerun asks only what is missing."""

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from whyguard.core.errors import TeacherError, fail
from whyguard.core.languages import ENGLISH
from whyguard.core.steps import Room
from whyguard.core.tables import Row, drop
from whyguard.generation.calls import stops
from whyguard.generation.calls.apart import run_apart
from whyguard.generation.calls.batches import BatchDrive
from whyguard.generation.calls.budget import Meter, guess_tokens
from whyguard.generation.calls.claims import Claims
from whyguard.generation.calls.drive import CallDrive, Desk
from whyguard.generation.calls.estimates import estimate
from whyguard.generation.calls.keys import call_key
from whyguard.generation.calls.ledger import Ledger, Payer
from whyguard.generation.calls.panel import open_panel
from whyguard.generation.calls.shared import Shared
from whyguard.generation.teachers.base import (
    Answer,
    BatchTeacher,
    CallTeacher,
    DirectTeacher,
    Task,
    Teacher,
    TeacherConfig,
    TeacherRuntime,
)

__all__ = ["Answered", "ask", "estimate", "without_english"]


class Answered(NamedTuple):
    """A task with its answer and the ledger's key of the call (None where no model was asked)."""

    task: Task
    answer: Answer
    call_id: str | None


def ask(teacher: Teacher, tasks: Sequence[Task], config: TeacherConfig, runtime: TeacherRuntime,
        room: Room) -> list[Answered]:  # fmt: skip
    """Every task with its answer, in the order of the tasks.

    Tasks of one content key are one call. With `runtime.resume` "never" all of them are asked
    anew, also by a run that is started again after a kill. A prompt that a server refuses, or fails
    to answer in run after run, has an answer without text that says so (see `drive`).

    Raises:
        PartialError: the run stopped (budget, failures) with answers in the ledger.
        TeacherError: it stopped with none there.
        ConfigError: the budget has money and the teacher no prices.
    """
    if isinstance(teacher, DirectTeacher):
        return [Answered(task, answer, None) for task, answer in teacher.answer(tasks)]
    if not isinstance(teacher, BatchTeacher | CallTeacher):
        raise TypeError(f"{type(teacher).__name__} is no teacher")
    keys = [call_key(config, teacher.identity, task) for task in tasks]
    calls: dict[str, Task] = {}
    for key, task in zip(keys, tasks, strict=True):
        calls.setdefault(key, task)
    answers = _Asking(teacher, calls, config, runtime, room).answers()
    return [Answered(task, answers[key], key) for task, key in zip(tasks, keys, strict=True)]


class _Asking:
    """One run over the calls of a step."""

    def __init__(self, teacher: BatchTeacher | CallTeacher, calls: Mapping[str, Task],
                 config: TeacherConfig, runtime: TeacherRuntime, room: Room) -> None:  # fmt: skip
        self._teacher, self._calls, self._config = teacher, calls, config
        self._runtime, self._room = runtime, room
        self._since = 0.0 if runtime.resume == "always" else time.time()

    def answers(self) -> dict[str, Answer]:
        """All answers, after asking for those that are missing."""
        with Ledger(self._room.ledger) as ledger:
            damaged = ledger.set_aside_damaged(self._calls)
            if damaged:
                self._room.progress.say(f"  {damaged:,} stored answers are damaged (set aside in "
                                        f"{ledger.path.name}): asking again")  # fmt: skip
            known = ledger.get(self._calls, self._since)
            missing = [key for key in self._calls if key not in known]
            if missing:
                self._announce(len(known), missing)
                with self._stops(ledger):
                    proven = any(answer.text is not None for answer in known.values())
                    self._drive(ledger, missing, proven=proven)
                known = ledger.get(self._calls, self._since)
            else:
                self._room.progress.say(f"  reused {len(known):,}, nothing to call")
        self._check(known)
        return known

    def _drive(self, ledger: Ledger, missing: Sequence[str], *, proven: bool) -> None:
        room, runtime = self._room, self._runtime
        payer = Payer(room.account, self._teacher.generator)
        with (
            Shared(room.ledger) as shared,
            Meter(shared, ledger, room.account, room.budget, runtime.prices) as meter,
            open_panel(room.progress, len(missing), runtime.prices) as panel,
        ):
            desk = Desk(ledger, Claims(shared), meter, panel, payer, self._since, proven)
            if isinstance(self._teacher, CallTeacher):
                calls = {key: self._calls[key] for key in missing}
                drive = CallDrive(self._teacher, calls, self._config, runtime, desk)
                run_apart(drive.run())
            else:
                batches = BatchDrive(self._teacher, self._calls, self._config, runtime, desk,
                                     room.scratch)  # fmt: skip
                batches.run(missing)

    def _announce(self, known: int, missing: Sequence[str]) -> None:
        prompts = sum(guess_tokens(self._calls[key]) for key in missing)
        most = len(missing) * self._config.max_new_tokens
        prices = self._runtime.prices
        money = f", up to {prices.cost(prompts, most):.4g} {prices.currency}" if prices else ""
        tokens = f"about {prompts:,} prompt tokens and up to {most:,} generated"
        self._room.progress.say(f"  reused {known:,}, will call {len(missing):,}, {tokens}{money}")

    @contextlib.contextmanager
    def _stops(self, ledger: Ledger) -> Iterator[None]:
        """Turn what ends a run early into an error, or a line, that says what is kept."""
        try:
            yield
        except stops.Stop as stop:
            raise self._left(ledger).error(stop) from stop
        except TeacherError as error:
            left = self._left(ledger)
            if not left.stored:
                raise
            raise left.error(stops.Stop(str(error), stops.AGAIN)) from error
        except KeyboardInterrupt:
            left = self._left(ledger)
            self._room.progress.say(f"  stopped: {left.stored:,} answers are stored, {left.left:,} "
                                    f"are left; {stops.AGAIN}")  # fmt: skip
            raise

    def _left(self, ledger: Ledger) -> stops.Left:
        stored = len(ledger.get(self._calls, self._since))
        return stops.Left(self._teacher.generator, stored, len(self._calls) - stored)

    def _check(self, known: Mapping[str, Answer]) -> None:
        if len(known) < len(self._calls):
            fail(TeacherError, where=self._teacher.generator,
                 expected=f"{len(self._calls):,} answers", found=f"{len(known):,}",
                 do=stops.AGAIN)  # fmt: skip


def without_english(rows: Sequence[Row]) -> list[dict[str, str]]:
    """One drop a family that has no English prompt: teachers are asked about English prompts."""
    there = {row["family_id"] for row in rows if row["language"] == ENGLISH}
    firsts: dict[str, Row] = {}
    for row in rows:
        if row["family_id"] not in there:
            firsts.setdefault(row["family_id"], row)
    return [drop(row, family, "no_english_prompt", f"the family has no prompt in {ENGLISH}")
            for family, row in firsts.items()]  # fmt: skip
