"""Drives a model in this process: its batches are planned once, asked and stored whole.

Padding and the size of a batch leak into floating point, so a rerun asks the very batches of the
first run; a kill costs at most the batch under way.
"""

import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from whyguard.core.drafts import flush_to_disk
from whyguard.core.errors import TeacherError, fail
from whyguard.core.hashing import sha256_json
from whyguard.generation.calls import stops
from whyguard.generation.calls.budget import Costs, request_size
from whyguard.generation.calls.drive import Desk
from whyguard.generation.calls.ledger import Ended, Spending
from whyguard.generation.teachers.base import (
    Answer,
    BatchTeacher,
    Task,
    TeacherConfig,
    TeacherRuntime,
)

_POLL_SECONDS = 0.2
Plan = list[list[str]]


class BatchDrive:
    """One run of batches over `calls` (all of a step's, by key, known or not)."""

    def __init__(self, teacher: BatchTeacher, calls: Mapping[str, Task], config: TeacherConfig,
                 runtime: TeacherRuntime, desk: Desk, scratch: Path) -> None:  # fmt: skip
        self._teacher, self._calls, self._desk, self._scratch = teacher, calls, desk, scratch
        self._costs = Costs(runtime.prices, config.max_new_tokens)

    def run(self, missing: Sequence[str]) -> None:
        """Ask every batch in which something is missing.

        Raises:
            Stop: the budget is spent.
            TeacherError: the model cannot answer.
        """
        plan = planned_batches(self._teacher, self._calls, missing, self._scratch)
        wanted = set(missing)
        waiting = [batch for batch in plan if not wanted.isdisjoint(batch)]
        while waiting:
            held = [batch for batch in waiting if not self._ask(batch)]
            if len(held) == len(waiting):
                self._desk.panel.waiting = sum(map(len, held))
                self._desk.panel.tick()
                time.sleep(_POLL_SECONDS)
            waiting = held

    def _ask(self, batch: Sequence[str]) -> bool:
        """Answer and store a batch; False where another process holds some of it."""
        desk = self._desk
        missing = self._missing(batch)
        if missing and not desk.claims.take_all(missing):
            return False
        missing = self._missing(missing)  # the last owner may have stored some before it let go
        if missing:
            self._pay([self._calls[key] for key in batch], batch, set(missing))
        desk.panel.ended(len(batch))
        desk.panel.tick()
        return True

    def _missing(self, keys: Sequence[str]) -> list[str]:
        known = self._desk.ledger.get(keys, self._desk.since)
        return [key for key in keys if key not in known]

    def _pay(self, tasks: Sequence[Task], keys: Sequence[str], missing: set[str]) -> None:
        desk = self._desk
        most = _total([self._costs.bound(request_size(task)) for task in tasks])
        while (lack := desk.meter.reserve(most)) is not None:
            if not lack.passing:
                raise stops.out_of_budget(desk.meter.budget, lack, most)
            time.sleep(_POLL_SECONDS)
        answers = self._teacher.answer_batch(tasks)
        if len(answers) != len(tasks):
            fail(TeacherError, where=self._teacher.generator, expected=f"{len(tasks)} answers",
                 found=f"{len(answers)}", do="this is a fault of the teacher")  # fmt: skip
        ended = [self._ended(key, task, answer)
                 for key, task, answer in zip(keys, tasks, answers, strict=True)]  # fmt: skip
        # Answers that were there stay; the whole batch is asked, so that the others come out
        # as they would have.
        again = _total([item.spending for item in ended if item.key not in missing])
        desk.ledger.put([item for item in ended if item.key in missing], desk.payer, desk.since)
        desk.ledger.spend(desk.payer.account, again)
        desk.meter.settle(most)
        desk.panel.paid(_total([item.spending for item in ended]))

    def _ended(self, key: str, task: Task, answer: Answer) -> Ended:
        return Ended(key, answer, self._costs.actual(request_size(task), answer))


def planned_batches(teacher: BatchTeacher, calls: Mapping[str, Task], missing: Sequence[str],
                    scratch: Path) -> Plan:  # fmt: skip
    """The batches of a step, by key; written to `scratch` when first made, and kept from then on.

    What is missing and in no batch of a kept plan (a row was damaged) gets batches of its own.
    """
    path = scratch / f"batches-{sha256_json(list(calls))[:20]}.json"
    plan: Plan = json.loads(path.read_text("utf-8")) if path.is_file() else []
    covered = {key for batch in plan for key in batch}
    new = [key for key in missing if key not in covered]
    if new:
        key_of = {calls[key]: key for key in new}
        batches = teacher.batches([calls[key] for key in new])
        plan += [[key_of[task] for task in batch] for batch in batches]
        _write_durably(path, json.dumps(plan))
    return plan


def _write_durably(path: Path, text: str) -> None:
    draft = path.with_suffix(f".{os.getpid()}.tmp")
    draft.write_text(text, "utf-8")
    flush_to_disk(draft)
    draft.replace(path)
    flush_to_disk(path.parent)


def _total(parts: Sequence[Spending]) -> Spending:
    total = Spending()
    for part in parts:
        total = total.plus(part)
    return total
