"""Asks a teacher for every task, through the ledger, so that a rerun asks only what is missing."""

from collections.abc import Container, Iterator, Sequence
from typing import NamedTuple

from whyguard.core.errors import PartialError, TeacherError, explain, fail
from whyguard.core.languages import ENGLISH
from whyguard.core.steps import Room
from whyguard.core.tables import Row, drop
from whyguard.generation.calls.ledger import LEDGER_FILE, Ledger, call_key
from whyguard.generation.teachers.base import Answer, Task, Teacher, TeacherConfig


class Answered(NamedTuple):
    """A task with its answer and the ledger's key of the call (None where no model was asked)."""

    task: Task
    answer: Answer
    call_id: str | None


def ask(teacher: Teacher, tasks: Sequence[Task], config: TeacherConfig, room: Room
        ) -> list[Answered]:  # fmt: skip
    """Every task with its answer, in the order of the tasks.

    Tasks of one content key are one call.

    Raises:
        PartialError: the teacher failed for good; some answers are in the ledger.
        TeacherError: it failed with none there, or left a task out.
    """
    if not teacher.needs_messages:
        return [Answered(task, answer, None) for task, answer in teacher.answer(tasks)]
    keys = [call_key(config, teacher, task) for task in tasks]
    with Ledger(room.scratch / LEDGER_FILE) as ledger:
        _fill(ledger, teacher, dict(zip(keys, tasks, strict=True)), room)
        stored = ledger.get(keys)
    return [Answered(task, stored[key], key) for task, key in zip(tasks, keys, strict=True)]


def _fill(ledger: Ledger, teacher: Teacher, calls: dict[str, Task], room: Room) -> None:
    """Ask for every call that the ledger lacks; each answer is stored as it comes."""
    known = ledger.get(calls)
    missing = len(calls) - len(known)
    if not missing:
        return
    room.progress.say(f"  {len(known)} answers are stored, asking for {missing}")
    key_of = {task: key for key, task in calls.items()}
    with room.progress.task("answers", missing) as bar:
        try:
            for task, answer in _answers(teacher, key_of, known):
                if key_of[task] not in known:
                    ledger.put([(key_of[task], answer)])
                    bar.advance()
        except TeacherError as error:
            stored = len(ledger.get(calls))
            if not stored:
                raise
            raise _partial(teacher, stored, len(calls) - stored, error) from error
    left = len(calls) - len(ledger.get(calls))
    if left:
        fail(TeacherError, where=teacher.generator, expected=f"{missing} answers",
             found=f"{missing - left}", do="run again: stored answers are kept")  # fmt: skip


def _partial(teacher: Teacher, stored: int, left: int, error: TeacherError) -> PartialError:
    return PartialError(explain(teacher.generator, f"{stored + left} answers",
                                f"{stored} are stored, {left} are left",
                                "run again: only what is left is asked for")
                        + f"\n  because:  {error}")  # fmt: skip


def _answers(teacher: Teacher, key_of: dict[Task, str], known: Container[str]
             ) -> Iterator[tuple[Task, Answer]]:  # fmt: skip
    """Answers for what is not known; a fixed batch with anything missing is asked whole."""
    tasks = list(key_of)
    if teacher.batch is None:
        yield from teacher.answer([task for task in tasks if key_of[task] not in known])
        return
    for start in range(0, len(tasks), teacher.batch):
        chunk = tasks[start : start + teacher.batch]
        if any(key_of[task] not in known for task in chunk):
            yield from teacher.answer(chunk)


def without_english(rows: Sequence[Row]) -> list[dict[str, str]]:
    """One drop a family that has no English prompt: teachers are asked about English prompts."""
    there = {row["family_id"] for row in rows if row["language"] == ENGLISH}
    firsts: dict[str, Row] = {}
    for row in rows:
        if row["family_id"] not in there:
            firsts.setdefault(row["family_id"], row)
    return [drop(row, family, "no_english_prompt", f"the family has no prompt in {ENGLISH}")
            for family, row in firsts.items()]  # fmt: skip
