"""Estimates: what is cached and what it costs, with no model opened, no server asked, no file."""

from pathlib import Path
from typing import Any

import pytest
from tests.generation.making import make_room, task

from whyguard.core.artefact import ModelUse
from whyguard.core.steps import Estimate, Room
from whyguard.generation.calls.ask import ask
from whyguard.generation.calls.estimates import estimate, spent
from whyguard.generation.calls.keys import call_key
from whyguard.generation.calls.ledger import Ended, Ledger, Spending
from whyguard.generation.teachers.base import (
    Answer,
    BatchTeacher,
    Prices,
    TeacherConfig,
    TeacherRuntime,
    open_teacher,
)

SERVER = TeacherConfig(kind="openai", model_name="m", max_new_tokens=10)
NOWHERE = TeacherRuntime()
"""No base_url: an estimate needs none."""


def store(folder: Path, config: TeacherConfig, identity: tuple[str, ...], *numbers: int) -> None:
    with Ledger(folder) as ledger:
        ledger.put([Ended(call_key(config, identity, task(n)), Answer("x")) for n in numbers])


def test_nothing_is_stored_and_nothing_is_made(tmp_path: Path) -> None:
    found = estimate([task(n) for n in range(4)], SERVER, NOWHERE, tmp_path / "ledger")
    assert found == Estimate(4, 0, 4 * 7, 40, None, "")
    assert not list(tmp_path.iterdir())


def test_stored_answers_are_cached_unless_all_is_asked_anew(tmp_path: Path) -> None:
    store(tmp_path, SERVER, (), 0, 1, 9)
    tasks = [task(n) for n in (0, 1, 2, 2)]
    priced = TeacherRuntime(prices=Prices(prompt=1e6, completion=2e6, currency="EUR"))
    assert estimate(tasks, SERVER, priced, tmp_path) == Estimate(1, 2, 7, 10, 27.0, "EUR")
    anew = TeacherRuntime(resume="never")
    assert estimate(tasks, SERVER, anew, tmp_path)[:2] == (3, 0)


def test_teachers_that_ask_no_model_cost_nothing(tmp_path: Path) -> None:
    template = TeacherConfig(kind="template")
    assert estimate([task(1)], template, NOWHERE, tmp_path) == Estimate()


def test_a_local_model_is_known_by_its_content(tmp_path: Path, llama: Path) -> None:
    config = TeacherConfig(kind="transformers", model=f"path:{llama}", max_new_tokens=2)
    room = make_room(tmp_path)
    assert estimate([task(1)], config, NOWHERE, room.ledger)[:2] == (1, 0)
    teacher = open_teacher(config, NOWHERE, room)
    assert isinstance(teacher, BatchTeacher)
    store(room.ledger, config, teacher.identity, 1)
    assert estimate([task(1), task(2)], config, NOWHERE, room.ledger)[:2] == (1, 1)


@pytest.mark.parametrize("model", ["hf:made-up/not-here", "pypi:made-up-not-here"])
def test_a_model_that_is_not_here_is_not_fetched(
    tmp_path: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHYGUARD_OFFLINE", "1")
    config = TeacherConfig(kind="transformers", model=model, max_new_tokens=2)
    assert estimate([task(1)], config, NOWHERE, tmp_path)[:2] == (1, 0)


def test_the_estimate_is_what_a_run_then_asks(room: Room) -> None:
    class Counting:
        generator = "counting"
        use: ModelUse | None = None
        identity: tuple[str, ...] = ()
        asked = 0

        def batches(self, tasks: Any) -> Any:
            return [list(tasks)]

        def answer_batch(self, tasks: Any) -> list[Answer]:
            self.asked += len(tasks)
            return [Answer("x") for _ in tasks]

    store(room.ledger, SERVER, (), 0)
    tasks = [task(n) for n in (0, 1, 1, 2)]
    teacher = Counting()
    expected = estimate(tasks, SERVER, NOWHERE, room.ledger)
    ask(teacher, tasks, SERVER, NOWHERE, room)
    assert teacher.asked == expected.calls == 2


def test_what_is_spent_is_known_without_a_run_and_makes_no_ledger(tmp_path: Path) -> None:
    assert spent(tmp_path / "none", "recipe") == Spending()
    assert not list(tmp_path.iterdir())
    with Ledger(tmp_path) as ledger:
        ledger.spend("recipe", Spending(2, 30, 0.5))
    assert spent(tmp_path, "recipe") == Spending(2, 30, 0.5)
    assert spent(tmp_path, "another") == Spending()
