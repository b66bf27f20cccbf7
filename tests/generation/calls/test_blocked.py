"""What must not block a step for good, nor cost what is paid: one prompt, one file, one process."""

import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.fault_server import FaultServer
from tests.generation.calls.test_drive import CONFIG, made, run, stored
from tests.generation.making import task

from whyguard.core.artefact import ModelUse
from whyguard.core.errors import ArtefactError, PartialError, TeacherError
from whyguard.core.steps import Budget, Room
from whyguard.generation.calls.ask import ask
from whyguard.generation.calls.ledger import LEDGER_FILE, Ledger
from whyguard.generation.calls.shared import SHARED_FILE, Shared
from whyguard.generation.teachers.base import Answer, Task, TeacherRuntime

FINE = tuple(f"fine {n}" for n in range(6))


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as made:
        yield made


def test_one_prompt_that_is_forbidden_is_no_reason_to_stop(server: FaultServer, room: Room) -> None:
    done = run(server, made("do 403 9 times", *FINE), room, concurrency=1)
    assert done[0].answer == Answer(None, "the server refused it: HTTP 403")
    assert [item.answer.text for item in done[1:]] == [f"to {text}" for text in FINE]
    assert server.counts().asked["do 403 9 times"] == 1


def test_one_prompt_that_fails_ends_no_run_and_after_three_of_them_no_step(
    server: FaultServer, room: Room
) -> None:
    tasks = made("fine", "do 500 99 times", *FINE)
    for _ in range(2):
        with pytest.raises(PartialError, match="7 are stored, 1 are left"):
            run(server, tasks, room, concurrency=1)
    done = run(server, tasks, room, concurrency=1)
    reason = "no answer in 3 runs, last: server error: HTTP 500"
    assert done[1].answer == Answer(None, reason)
    assert server.counts().asked["do 500 99 times"] == 3 * 4


def test_what_failed_is_asked_last_though_the_run_stopped(server: FaultServer, room: Room) -> None:
    tasks = made(*(f"do 500 99 times, {n}" for n in range(8)), *FINE)
    with pytest.raises(TeacherError, match="20 tries in a row failed"):
        run(server, tasks, room, concurrency=1)
    with pytest.raises(PartialError, match="20 tries in a row failed"):
        run(server, tasks, room, concurrency=1)
    assert stored(room) == len(FINE), "the others had their turn"


def test_a_server_that_is_down_gives_up_no_prompt(room: Room) -> None:
    with FaultServer() as server:
        run(server, made(*FINE), room)
    with FaultServer(limited=1.0, retry_after="0") as server:
        for _ in range(4):
            with pytest.raises(PartialError, match="1 rate limited"):
                run(server, made(*FINE, "new"), room)


def test_few_refusals_and_no_answer_are_no_answers(server: FaultServer, room: Room) -> None:
    tasks = made(*(f"do 400 4 times, {n}" for n in range(10)))
    for _ in range(4):
        with pytest.raises(TeacherError, match="10 calls in a row were refused"):
            run(server, tasks, room)
    assert all(item.answer.text for item in run(server, tasks, room))


def test_many_refusals_in_a_row_judge_no_prompt_even_after_an_answer(
    server: FaultServer, room: Room
) -> None:
    tasks = made("fine", *(f"do 400 1 times, {n}" for n in range(30)))
    with pytest.raises(PartialError, match=r"1 are stored, 30 are left(?s:.*)20 calls in a row"):
        run(server, tasks, room, concurrency=1)
    with Ledger(room.ledger) as ledger:
        assert ledger.summary().failures == {"prompt refused": 20}
    done = run(server, made("fine", *(f"fine {n}" for n in range(9)), *(
        f"do 400 1 times, {n}" for n in range(20))), room, concurrency=1)  # fmt: skip
    assert all(item.answer.text for item in done)


def test_a_last_prompt_that_is_refused_ends_the_step_at_last(
    server: FaultServer, room: Room
) -> None:
    run(server, made(*FINE), room)
    for _ in range(2):
        with pytest.raises(PartialError, match="1 calls in a row were refused"):
            run(server, made(*FINE, "do 400 99 times"), room)
    done = run(server, made(*FINE, "do 400 99 times"), room)
    assert done[-1].answer.reason == "the server refused it: HTTP 400"


@pytest.mark.slow
def test_answers_under_way_are_waited_for_when_a_run_stops(server: FaultServer, room: Room) -> None:
    with pytest.raises(PartialError, match=r"3 are stored, 1 are left(?s:.*)HTTP 401"):
        run(server, made(*(f"do slow 1 times, {n}" for n in range(3)), "do 401 9 times"), room,
            deadline_seconds=20.0)  # fmt: skip


def test_asking_anew_in_vain_keeps_the_old_answers(server: FaultServer, room: Room) -> None:
    done = run(server, made(*FINE), room)
    with FaultServer(errors=1.0) as broken, pytest.raises(TeacherError, match="server error"):
        run(broken, made(*FINE), room, resume="never", tries=1)
    assert run(server, made(*FINE), room) == done
    assert set(server.counts().asked.values()) == {1}


def test_a_locked_file_loses_no_answer(
    server: FaultServer, room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Shared, "wait_seconds", 0.3)
    lock = sqlite3.connect(room.ledger / SHARED_FILE, isolation_level=None, check_same_thread=False)
    slow = [f"do slow 1 times, {n}" for n in range(4)]
    with ThreadPoolExecutor(1) as pool:
        poor = room._replace(budget=Budget(calls=50))
        running = pool.submit(run, server, made(*slow, *map(str, range(9))), poor, concurrency=4,
                              deadline_seconds=20.0)  # fmt: skip
        while server.total() < 4:
            time.sleep(0.01)
        lock.execute("begin immediate")
        with pytest.raises(ArtefactError, match=r"database is locked\n.*no stopped process holds"):
            running.result(60)
        lock.execute("rollback")
    with Ledger(room.ledger) as ledger:
        assert stored(room) == ledger.spent("").calls == server.total() == 4


def test_a_ledger_that_cannot_be_written_does_not_open_the_budget(
    server: FaultServer, room: Room
) -> None:
    poor = room._replace(budget=Budget(calls=5))
    Ledger(room.ledger).close()
    with sqlite3.connect(room.ledger / LEDGER_FILE) as db:
        db.execute("create trigger t before insert on call begin select raise(abort, 'disk'); end")
        db.execute("create trigger u before insert on spent begin select raise(abort, 'disk'); end")
    with pytest.raises(ArtefactError, match="IntegrityError: disk"):
        run(server, made(*FINE[:4]), poor, concurrency=4)
    assert server.total() == 4
    with pytest.raises((ArtefactError, PartialError), match=r"disk|4 reserved by another"):
        run(server, made(*FINE[:4]), poor, concurrency=4)
    assert server.total() == 5


def test_a_living_process_is_waited_for(room: Room) -> None:
    poor = room._replace(budget=Budget(calls=6))
    with FaultServer(delay=1.5) as server, ThreadPoolExecutor(1) as pool:
        first = pool.submit(run, server, made(*FINE), poor, deadline_seconds=20.0)
        while server.total() < len(FINE):
            time.sleep(0.01)
        others = [task(n, f"other {n}") for n in range(4)]
        with pytest.raises(PartialError, match="calls: 6 spent of 6, the next call") as caught:
            run(server, others, poor, concurrency=1, deadline_seconds=20.0)
        assert "reserved" not in str(caught.value), "it waited until all was counted"
        assert len(first.result(60)) == len(FINE)
    with Ledger(room.ledger) as ledger:
        assert ledger.spent("").calls == 6


def test_odd_counts_of_tokens_end_no_run(server: FaultServer, room: Room) -> None:
    texts = ("do count1e30 1 times", "do count1e5000 1 times", *FINE)
    done = run(server, made(*texts), room)
    assert [item.answer.text for item in done] == [f"to {text}" for text in texts]
    assert done[0].answer.tokens is None
    assert server.counts().asked["do count1e5000 1 times"] == 2, "it is a malformed reply"


def test_an_unforeseen_error_in_a_try_is_a_failure_of_that_try(room: Room) -> None:
    class Odd:
        generator = "odd"
        use: ModelUse | None = None
        identity: tuple[str, ...] = ()
        tries = 0

        async def open(self) -> None:
            assert threading.current_thread() is not threading.main_thread()

        async def call(self, task: Task) -> Answer:
            self.tries += 1
            if self.tries == 1:
                raise IndexError("something odd")
            return Answer("fine")

        async def close(self) -> None:
            assert self.tries == 2

    runtime = TeacherRuntime(backoff_seconds=0.0)
    assert ask(Odd(), [task(1)], CONFIG, runtime, room)[0].answer.text == "fine"
