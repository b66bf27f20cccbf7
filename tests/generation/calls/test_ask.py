"""Asking through the ledger, with teachers that count, batch and fail."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from tests.generation.making import make_room, task

from whyguard.core.artefact import ModelUse
from whyguard.core.errors import PartialError, TeacherError
from whyguard.core.steps import Room
from whyguard.generation.calls.ask import ask
from whyguard.generation.teachers.base import Answer, Task, TeacherConfig

CONFIG = TeacherConfig(kind="openai", model_name="m")


class Counting:
    """A real teacher of a few lines: it answers with the prompt id and notes what it was asked."""

    generator = "counting"

    def __init__(self, batch: int | None = None, stop_after: int | None = None,
                 needs_messages: bool = True, backwards: bool = False) -> None:  # fmt: skip
        self.use: ModelUse | None = None
        self.batch, self.needs_messages = batch, needs_messages
        self._stop_after, self._backwards = stop_after, backwards
        self.asked: list[list[str]] = []
        self._done = 0

    def answer(self, tasks: Sequence[Task]) -> Iterator[tuple[Task, Answer]]:
        self.asked.append([item.prompt_id for item in tasks])
        for item in reversed(tasks) if self._backwards else tasks:
            if self._done == self._stop_after:
                raise TeacherError("the teacher went home")
            self._done += 1
            yield item, Answer(f"about {item.messages[-1][1]}")


@pytest.fixture
def tasks() -> list[Task]:
    return [task(n) for n in range(7)]


def test_answers_come_in_the_order_of_tasks(room: Room, tasks: list[Task]) -> None:
    done = ask(Counting(backwards=True), tasks, CONFIG, room)
    assert [item.task for item in done] == tasks
    assert [item.answer.text for item in done] == [f"about request {n}" for n in range(7)]
    assert all(item.call_id for item in done)


def test_no_tasks(room: Room) -> None:
    teacher = Counting(batch=3)
    assert ask(teacher, [], CONFIG, room) == []
    assert teacher.asked == []


def test_teachers_without_messages_need_no_ledger(room: Room, tasks: list[Task]) -> None:
    done = ask(Counting(needs_messages=False), tasks, CONFIG, room)
    assert {item.call_id for item in done} == {None}
    assert not list(room.scratch.iterdir())


@pytest.mark.parametrize("stop", range(7))
def test_a_rerun_asks_only_what_is_missing(stop: int, tmp_path: Path, tasks: list[Task]) -> None:
    room = make_room(tmp_path)
    with pytest.raises(PartialError if stop else TeacherError, match="went home"):
        ask(Counting(stop_after=stop), tasks, CONFIG, room)
    again = Counting()
    done = ask(again, tasks, CONFIG, room)
    assert again.asked == [[f"made:{n:03d}-h:eng_Latn" for n in range(stop, 7)]]
    assert [item.answer.text for item in done] == [f"about request {n}" for n in range(7)]


@pytest.mark.parametrize("stop", range(7))
def test_fixed_batches_are_asked_whole(stop: int, tmp_path: Path, tasks: list[Task]) -> None:
    room = make_room(tmp_path)
    with pytest.raises(PartialError if stop else TeacherError, match="went home"):
        ask(Counting(batch=3, stop_after=stop), tasks, CONFIG, room)
    again = Counting(batch=3)
    ask(again, tasks, CONFIG, room)
    names = [item.prompt_id for item in tasks]
    batches = [names[0:3], names[3:6], names[6:]]
    assert again.asked == batches[stop // 3 :]


def test_a_partial_failure_says_what_is_stored_and_left(room: Room, tasks: list[Task]) -> None:
    with pytest.raises(PartialError, match=r"2 are stored, 5 are left\n.*run again") as caught:
        ask(Counting(stop_after=2), tasks, CONFIG, room)
    assert caught.value.exit_code == 3
    assert isinstance(caught.value.__cause__, TeacherError)
    with pytest.raises(PartialError, match="2 are stored, 5 are left"):
        ask(Counting(stop_after=0), tasks, CONFIG, room)


def test_a_stored_answer_is_never_replaced(room: Room, tasks: list[Task]) -> None:
    first = ask(Counting(), tasks[:1], CONFIG, room)

    class Other(Counting):
        def answer(self, tasks: Sequence[Task]) -> Iterator[tuple[Task, Answer]]:
            for item in tasks:
                yield item, Answer("something else")

    done = ask(Other(batch=7), tasks, CONFIG, room)
    assert done[0] == first[0]
    assert {item.answer.text for item in done[1:]} == {"something else"}


def test_a_task_that_is_left_out_is_an_error(room: Room, tasks: list[Task]) -> None:
    class Lazy(Counting):
        def answer(self, tasks: Sequence[Task]) -> Iterator[tuple[Task, Answer]]:
            yield from super().answer(tasks[:-2])

    with pytest.raises(TeacherError, match=r"expected: 7 answers\n.*found: +5"):
        ask(Lazy(), tasks, CONFIG, room)
