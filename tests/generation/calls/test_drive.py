"""Calls to a real server that misbehaves: all answered, none paid twice, stops that say why."""

import asyncio
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.fault_server import FaultServer
from tests.generation.making import make_room, task

from whyguard.core.errors import PartialError, TeacherError
from whyguard.core.steps import Budget, Room
from whyguard.generation.calls.ask import Answered, ask
from whyguard.generation.calls.ledger import LEDGER_FILE, Ledger
from whyguard.generation.teachers.base import Answer, Prices, Task, TeacherConfig, TeacherRuntime
from whyguard.generation.teachers.server import ServerTeacher

CONFIG = TeacherConfig(kind="openai", model_name="made-up", max_new_tokens=7)
Tasks = list[Task]
FEW = tuple(map(str, range(8)))


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as made:
        yield made


def run(server: FaultServer, tasks: Tasks, room: Room, **other: Any) -> list[Answered]:
    quick = {"deadline_seconds": 10.0, "backoff_seconds": 0.01, "concurrency": 8, "tries": 4}
    runtime = TeacherRuntime(base_url=server.base_url, **(quick | other))
    return ask(ServerTeacher(CONFIG, runtime), tasks, CONFIG, runtime, room)


def made(*texts: str) -> Tasks:
    return [task(n, text) for n, text in enumerate(texts)]


def stored(room: Room) -> int:
    with sqlite3.connect(room.ledger / LEDGER_FILE) as db:
        (count,) = db.execute("select count(*) from call").fetchone()
    return int(count)


@pytest.mark.slow
def test_2000_calls_to_a_failing_server_are_all_answered_and_none_twice(tmp_path: Path) -> None:
    tasks, room = [task(n) for n in range(2000)], make_room(tmp_path)
    shares = {"errors": 0.05, "limited": 0.02, "hangs": 0.01, "truncated": 0.01, "wrong": 0.01}
    with FaultServer(3, 0.005, "0.05", **shares) as server:
        done = run(server, tasks, room, concurrency=32, tries=6, deadline_seconds=5.0)
        seen = server.counts()
        assert [item.answer.text for item in done] == [f"to request {n}" for n in range(2000)]
        assert set(seen.answered.values()) == {1}, "none asked again after success"
        assert len(seen.answered) == stored(room) == 2000
        assert all(seen.faults[fault] >= 10 for fault in shares), "each fault did happen"
        assert seen.asked.total() == 2000 + sum(seen.faults[fault] for fault in shares)
        assert run(server, tasks, room) == done
        assert server.counts().asked == seen.asked, "a rerun asks nothing"
        with Ledger(room.ledger) as ledger:
            assert ledger.spent("").calls == seen.asked.total()


def test_concurrency_is_bounded_and_used(room: Room) -> None:
    with FaultServer(delay=0.2) as server:
        run(server, [task(n) for n in range(24)], room)
        assert server.counts().most == 8


def test_failures_that_pass_are_tried_again(server: FaultServer, room: Room) -> None:
    texts = [f"do {fault} 2 times" for fault in ("500", "503", "408", "429", "truncated", "wrong")]
    done = run(server, made(*texts, "do hangs 1 times"), room, deadline_seconds=2.0)
    assert [item.answer.text for item in done] == [f"to {t}" for t in (*texts, "do hangs 1 times")]
    asked = server.counts().asked
    assert [asked[text] for text in texts] == [3] * len(texts)


def test_failures_that_stay_are_stored_and_the_rest_is_answered(
    server: FaultServer, room: Room
) -> None:
    tasks = made("do 500 9 times", "do hangs 9 times", *(f"fine {n}" for n in range(10)))
    match = r"10 are stored, 2 are left\n.*run again(?s:.*)2 calls failed.*1 server error"
    with pytest.raises(PartialError, match=match) as caught:
        run(server, tasks, room, tries=2, deadline_seconds=0.2)
    assert caught.value.exit_code == 3
    with sqlite3.connect(room.ledger / LEDGER_FILE) as db:
        rows = db.execute("select cause, tries from failure order by cause").fetchall()
    assert rows == [("no answer in time", 2), ("server error", 2)]
    with pytest.raises(PartialError, match="1 calls failed"):
        run(server, made("do 500 9 times", "fine 1"), room, tries=2)
    assert server.counts().asked["fine 1"] == 1


def test_a_server_that_waits_is_waited_for_up_to_the_longest_wait(room: Room) -> None:
    with FaultServer(retry_after="0.4") as server:
        started = time.monotonic()
        run(server, made("do 429 1 times"), room)
        assert 0.4 <= time.monotonic() - started < 5
    with FaultServer(retry_after="99999") as server:
        started = time.monotonic()
        run(server, made("do 429 1 times, then answer"), room, longest_wait_seconds=0.1)
        assert time.monotonic() - started < 5


def test_a_server_that_says_no_is_left_at_once(server: FaultServer, room: Room) -> None:
    with pytest.raises(TeacherError, match=r"server says no: HTTP 401 \(for made:000") as caught:
        run(server, made(*(f"do 401 99 times, request {n}" for n in range(100))), room)
    assert "do 401" not in str(caught.value), "messages quote no prompt"
    assert server.counts().asked.total() <= 8


def test_what_came_before_a_no_is_kept(server: FaultServer, room: Room) -> None:
    tasks = made(*(f"fine {n}" for n in range(30)), "do 401 1 times", *map(str, range(200)))
    with pytest.raises(PartialError, match="HTTP 401"):
        run(server, tasks, room)
    before, seen = stored(room), server.counts()
    assert 20 <= before == len(seen.answered) < 100
    done = run(server, tasks, room)
    assert [item.answer.text for item in done] == [f"to {t.messages[-1][1]}" for t in tasks]
    assert set(server.counts().answered.values()) == {1}


def test_a_refusal_of_one_prompt_is_an_answer_without_text(server: FaultServer, room: Room) -> None:
    tasks = made("fine", "do 400 9 times", "do 413 9 times", "do 422 9 times", "fine too")
    done = run(server, tasks, room)
    assert [item.answer.text for item in done] == ["to fine", None, None, None, "to fine too"]
    assert done[1].answer.reason == "the server refused it: HTTP 400"
    assert run(server, tasks, room) == done
    assert set(server.counts().asked.values()) == {1}


def test_a_server_that_refuses_everything_judges_no_prompt(server: FaultServer, room: Room) -> None:
    tasks = made(*(f"do 400 1 times, request {n}" for n in range(60)))
    with pytest.raises(TeacherError, match=r"20 calls in a row were refused.*: HTTP 400"):
        run(server, tasks, room)
    assert server.counts().asked.total() <= 28
    done = run(server, tasks[:5], room)
    assert all(item.answer.text for item in done), "no refusal was stored"


def test_too_many_failures_in_a_row_end_the_run(server: FaultServer, room: Room) -> None:
    tasks = made(*(f"do 500 99 times, request {n}" for n in range(500)))
    with pytest.raises(TeacherError, match=r"tries in a row failed \(\d+ server error"):
        run(server, tasks, room)
    assert 4 * 8 <= server.counts().asked.total() <= 4 * 8 + 8


def test_rates_are_kept(server: FaultServer, room: Room) -> None:
    started = time.monotonic()
    run(server, made(*map(str, range(11))), room, requests_per_minute=1200.0)
    assert time.monotonic() - started >= 0.5


@pytest.mark.parametrize("budget", [Budget(calls=50), Budget(tokens=2000), Budget(money=0.002)])
def test_a_budget_is_never_exceeded_and_holds_over_reruns(
    server: FaultServer, tmp_path: Path, budget: Budget
) -> None:
    room = make_room(tmp_path)._replace(account="recipe", budget=budget)
    tasks = made(*(f"do 500 {n % 2} times, request {n}" for n in range(200)))
    other = {"prices": Prices(prompt=1.0, completion=1.0)}
    for _ in range(3):
        with pytest.raises(PartialError, match=r"the budget is spent(?s:.*)") as caught:
            run(server, tasks, room, **other)
    assert "raise budget." in str(caught.value)
    asked = server.counts().asked.total()
    with Ledger(room.ledger) as ledger:
        spent = ledger.spent("recipe")
    assert spent.calls == asked
    assert asked == 50 if budget.calls else 20 < asked < 130
    assert spent.tokens <= (budget.tokens or 10**9)
    assert spent.money <= (budget.money or 10**9)
    run(server, tasks, room._replace(budget=Budget(calls=10**6)))
    assert set(server.counts().answered.values()) == {1}


def test_resume_never_asks_anew_and_keeps_the_old(server: FaultServer, room: Room) -> None:
    first = run(server, made("a", "b"), room)
    assert run(server, made("a", "b"), room, resume="never") == first
    assert server.counts().asked == {"a": 2, "b": 2}
    with sqlite3.connect(room.ledger / LEDGER_FILE) as db:
        assert db.execute("select count(*) from replaced").fetchone() == (2,)
    run(server, made("a", "b"), room)
    assert server.counts().asked == {"a": 2, "b": 2}


def test_damaged_answers_are_asked_for_again(server: FaultServer, room: Room) -> None:
    run(server, made("a", "b"), room)
    with sqlite3.connect(room.ledger / LEDGER_FILE) as db:
        db.execute("update call set checksum = '' where answer like '%to a%'")
    done = run(server, made("a", "b"), room)
    assert [item.answer.text for item in done] == ["to a", "to b"]
    assert server.counts().asked == {"a": 2, "b": 1}


def test_equal_tasks_are_one_call(server: FaultServer, room: Room) -> None:
    twins = [task(1, "same"), task(2, "same"), task(1, "same", sample=1)]
    done = run(server, twins, room)
    assert server.counts().asked["same"] == 2
    assert done[0].call_id == done[1].call_id != done[2].call_id


def test_a_wider_run_of_another_step_reuses(server: FaultServer, room: Room) -> None:
    run(server, made(*map(str, range(5))), room)
    other = room._replace(scratch=room.scratch / "other")
    run(server, made(*map(str, range(8))), other)
    assert set(server.counts().asked.values()) == {1}


def test_it_works_inside_a_running_loop_and_leaves_no_thread(
    server: FaultServer, room: Room
) -> None:
    async def caller() -> Answer:
        return run(server, made("a"), room)[0].answer

    threads = threading.active_count()
    assert asyncio.run(caller()).text == "to a"
    assert threading.active_count() == threads


class StandsStill(ServerTeacher):
    """Its process stands still for twice the deadline while the first calls are under way."""

    stood = False

    async def call(self, task: Task) -> Answer:
        if not self.stood:
            asyncio.get_running_loop().call_later(0.05, time.sleep, 1.0)
            self.stood = True
        return await super().call(task)


def test_a_reply_that_came_while_this_process_stood_still_is_used(room: Room) -> None:
    with FaultServer(delay=0.2) as server:
        runtime = TeacherRuntime(base_url=server.base_url, deadline_seconds=0.5, concurrency=8)
        done = ask(StandsStill(CONFIG, runtime), made(*FEW), CONFIG, runtime, room)
        assert [item.answer.text for item in done] == [f"to {text}" for text in FEW]
        assert server.counts().asked == dict.fromkeys(FEW, 1)
