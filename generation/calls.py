"""Asks a teacher for every task, through the ledger, so that a rerun asks only what is missing."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from whyguard.core.steps import Room
from whyguard.generation.ledger import Ledger, call_key
from whyguard.generation.teachers import Answer, Task, Teacher, TeacherConfig


class Answered(NamedTuple):
    """A task with its answer and the ledger's key of the call (None where no model was asked)."""

    task: Task
    answer: Answer
    call_id: str | None


def ask(teacher: Teacher, tasks: Sequence[Task], config: TeacherConfig, room: Room
        ) -> list[Answered]:  # fmt: skip
    """Every task with its answer, in the order of the tasks."""
    if not teacher.needs_messages:
        return [Answered(task, answer, None) for task, answer in teacher.answer(tasks)]
    revision = teacher.use.revision if teacher.use else ""
    keys = {task: call_key(config, revision, task) for task in tasks}
    with Ledger(room.scratch / "ledger.sqlite") as ledger:
        known = ledger.get(keys.values())
        missing = len(tasks) - len(known)
        room.progress.say(f"  reused {len(known)} answers, asking for {missing}")
        with room.progress.task(f"{tasks[0].kind}s" if tasks else "answers", missing) as bar:
            for task, answer in _missing(teacher, tasks, keys, known):
                if keys[task] not in known:
                    ledger.put([(keys[task], answer)])
                    bar.advance()
        stored = ledger.get(keys.values())
    return [Answered(task, stored[keys[task]], keys[task]) for task in tasks]


def _missing(teacher: Teacher, tasks: Sequence[Task], keys: dict[Task, str],
             known: dict[str, Answer]) -> Iterator[tuple[Task, Answer]]:  # fmt: skip
    """Answers for what is not known; a fixed batch with anything missing is asked whole."""
    if teacher.batch is None:
        yield from teacher.answer([task for task in tasks if keys[task] not in known])
        return
    for start in range(0, len(tasks), teacher.batch):
        chunk = tasks[start : start + teacher.batch]
        if any(keys[task] not in known for task in chunk):
            yield from teacher.answer(chunk)
