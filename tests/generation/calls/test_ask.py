"""Asking through the ledger, with teachers of a few lines that count, batch and fail."""

import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from tests.generation.making import make_room, prompt, task

from whyguard.core.artefact import ModelUse
from whyguard.core.errors import PartialError, TeacherError
from whyguard.core.progress import Progress
from whyguard.core.steps import Budget, Room
from whyguard.generation.calls.ask import Answered, ask, without_english
from whyguard.generation.calls.ledger import Ledger, Spending
from whyguard.generation.teachers.base import Answer, Prices, Task, TeacherConfig, TeacherRuntime

CONFIG = TeacherConfig(kind="openai", model_name="m", max_new_tokens=10)


class Batching:
    """A model in this process: it answers with the prompt's text and notes what it was asked."""

    generator = "batching"

    def __init__(self, size: int = 3, stop_after: int | None = None, text: str = "about") -> None:
        self.use: ModelUse | None = None
        self.identity: tuple[str, ...] = ("v1",)
        self._size, self._stop_after, self._text = size, stop_after, text
        self.asked: list[list[str]] = []

    def batches(self, tasks: Sequence[Task]) -> list[list[Task]]:
        every = list(reversed(tasks))
        return [every[n : n + self._size] for n in range(0, len(every), self._size)]

    def answer_batch(self, tasks: Sequence[Task]) -> list[Answer]:
        if len(self.asked) == self._stop_after:
            raise TeacherError("the teacher went home")
        self.asked.append([item.messages[-1][1] for item in tasks])
        return [Answer(f"{self._text} {item.messages[-1][1]}", tokens=2, prompt_tokens=8)
                for item in tasks]  # fmt: skip


class Direct:
    """A teacher that asks no model."""

    generator = "direct"
    use: ModelUse | None = None

    def answer(self, tasks: Sequence[Task]) -> Iterator[tuple[Task, Answer]]:
        for item in tasks:
            yield item, Answer(item.prompt_id)


@pytest.fixture
def tasks() -> list[Task]:
    return [task(n) for n in range(7)]


def run(teacher: Batching, tasks: Sequence[Task], room: Room, **runtime: Any) -> list[Answered]:
    return ask(teacher, tasks, CONFIG, TeacherRuntime(**runtime), room)


def loud(room: Room) -> tuple[Room, io.StringIO]:
    out = io.StringIO()
    return room._replace(progress=Progress(Console(file=out, width=200))), out


def test_answers_come_in_the_order_of_tasks(room: Room, tasks: list[Task]) -> None:
    done = run(Batching(), tasks, room)
    assert [item.task for item in done] == tasks
    assert [item.answer.text for item in done] == [f"about request {n}" for n in range(7)]
    assert all(item.call_id for item in done)


def test_no_tasks(room: Room) -> None:
    teacher = Batching()
    assert run(teacher, [], room) == []
    assert teacher.asked == []


def test_teachers_that_ask_no_model_need_no_ledger(room: Room, tasks: list[Task]) -> None:
    done = ask(Direct(), tasks, CONFIG, TeacherRuntime(), room)
    assert {item.call_id for item in done} == {None}
    assert not list(room.scratch.iterdir())
    assert not list(room.ledger.iterdir())


def test_what_is_no_teacher_is_an_error(room: Room, tasks: list[Task]) -> None:
    class Nothing:
        generator, use = "nothing", None

    with pytest.raises(TypeError, match="Nothing is no teacher"):
        ask(Nothing(), tasks, CONFIG, TeacherRuntime(), room)  # type: ignore[arg-type]


@pytest.mark.parametrize("stop", range(3))
def test_a_rerun_asks_only_what_is_missing_in_the_same_batches(
    stop: int, tmp_path: Path, tasks: list[Task]
) -> None:
    room = make_room(tmp_path)
    whole = Batching()
    run(whole, tasks, make_room(tmp_path / "whole"))
    with pytest.raises(PartialError if stop else TeacherError, match="went home"):
        run(Batching(stop_after=stop), tasks, room)
    again = Batching(size=5)
    done = run(again, tasks, room)
    assert again.asked == whole.asked[stop:], "another size of batches changes nothing"
    assert [item.answer.text for item in done] == [f"about request {n}" for n in range(7)]


def test_a_partial_failure_says_what_is_stored_and_left(room: Room, tasks: list[Task]) -> None:
    match = r"3 are stored, 4 are left\n.*run again"
    with pytest.raises(PartialError, match=match) as caught:
        run(Batching(stop_after=1), tasks, room)
    assert caught.value.exit_code == 3
    assert isinstance(caught.value.__cause__, TeacherError)
    with pytest.raises(PartialError, match="3 are stored, 4 are left"):
        run(Batching(stop_after=0), tasks, room)


def test_a_stored_answer_is_never_replaced(room: Room, tasks: list[Task]) -> None:
    first = run(Batching(), tasks[:1], room)
    done = run(Batching(text="else"), tasks, room)
    assert done[0] == first[0]
    assert {str(item.answer.text)[:4] for item in done[1:]} == {"else"}


def test_a_damaged_row_of_a_batch_has_the_whole_batch_asked(room: Room, tasks: list[Task]) -> None:
    first = run(Batching(), tasks, room)
    with Ledger(room.ledger) as ledger:
        ledger._db.execute("update call set checksum = '' where key = ?", (first[5].call_id,))
        ledger._db.commit()
    again = Batching(text="other")
    done = run(again, tasks, room)
    assert again.asked == [["request 6", "request 5", "request 4"]]
    assert [n for n in range(7) if done[n] != first[n]] == [5], "what was there stays"


def test_a_batch_that_is_left_out_is_an_error(room: Room, tasks: list[Task]) -> None:
    class Lazy(Batching):
        def batches(self, tasks: Sequence[Task]) -> list[list[Task]]:
            return super().batches(tasks)[:-1]

    with pytest.raises(TeacherError, match=r"expected: 7 answers\n.*found: +6"):
        run(Lazy(), tasks, room)


def test_a_batch_without_all_answers_is_an_error(room: Room, tasks: list[Task]) -> None:
    class Short(Batching):
        def answer_batch(self, tasks: Sequence[Task]) -> list[Answer]:
            return super().answer_batch(tasks)[:-1]

    with pytest.raises(TeacherError, match=r"expected: 3 answers\n.*found: +2"):
        run(Short(), tasks, room)


def test_plans_are_kept_in_scratch(room: Room, tasks: list[Task]) -> None:
    done = run(Batching(), tasks, room)
    (plan,) = room.scratch.glob("batches-*.json")
    batches = json.loads(plan.read_text("utf-8"))
    assert [len(batch) for batch in batches] == [3, 3, 1]
    assert {key for batch in batches for key in batch} == {item.call_id for item in done}


def test_reuse_is_announced_before_anything_is_asked(room: Room, tasks: list[Task]) -> None:
    run(Batching(), tasks[:2], room)
    shown, out = loud(room)
    run(Batching(), tasks, shown, prices=Prices(prompt=1.0, completion=2.0, currency="EUR"))
    first, last = out.getvalue().splitlines()
    assert first.startswith("  reused 2, will call 5, about 35 prompt tokens and up to 50 gene")
    assert first.endswith("up to 0.000135 EUR")
    assert last.startswith("  5 calls in ")
    assert "50 tokens, 6e-05 EUR" in last
    shown, out = loud(room)
    run(Batching(), tasks, shown)
    assert out.getvalue() == "  reused 7, nothing to call\n"


def test_damage_is_announced(room: Room, tasks: list[Task]) -> None:
    run(Batching(), tasks, room)
    with Ledger(room.ledger) as ledger:
        ledger._db.execute("update call set checksum = ''")
        ledger._db.commit()
    shown, out = loud(room)
    run(Batching(), tasks, shown)
    assert "7 stored answers are damaged" in out.getvalue()


def test_a_budget_stops_between_batches_and_a_raised_one_goes_on(
    room: Room, tasks: list[Task]
) -> None:
    poor = room._replace(account="recipe", budget=Budget(calls=6))
    with pytest.raises(PartialError, match=r"6 are stored, 1 are left\n.*raise budget\.calls"):
        run(Batching(), tasks, poor)
    nothing = Batching()
    with pytest.raises(PartialError, match="calls: 6 spent of 6, the next call needs up to 1"):
        run(nothing, tasks, poor)
    assert nothing.asked == []
    run(Batching(), tasks, poor._replace(budget=Budget(calls=7)))
    with Ledger(room.ledger) as ledger:
        assert ledger.spent("recipe") == Spending(7, 70)


def test_resume_never_asks_all_batches_anew(room: Room, tasks: list[Task]) -> None:
    first = Batching()
    run(first, tasks, room)
    again = Batching(text="anew")
    done = run(again, tasks, room, resume="never")
    assert again.asked == first.asked
    assert {str(item.answer.text)[:4] for item in done} == {"anew"}
    assert run(Batching(), tasks, room) == done


def test_ctrl_c_says_what_is_stored(room: Room, tasks: list[Task]) -> None:
    class Interrupted(Batching):
        def answer_batch(self, tasks: Sequence[Task]) -> list[Answer]:
            if self.asked:
                raise KeyboardInterrupt
            return super().answer_batch(tasks)

    shown, out = loud(room)
    with pytest.raises(KeyboardInterrupt):
        run(Interrupted(), tasks, shown)
    assert "stopped: 3 answers are stored, 4 are left; run again" in out.getvalue()


def test_families_without_english_are_drops() -> None:
    rows = [prompt(1), prompt(1, language="spa_Latn"), prompt(2, language="spa_Latn"),
            prompt(2, language="ast_Latn")]  # fmt: skip
    drops = without_english(rows)
    assert [drop["rule"] for drop in drops] == ["no_english_prompt"]
