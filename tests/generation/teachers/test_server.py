"""The server teacher against a real HTTP server on loopback that misbehaves."""

import asyncio
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from tests.generation.making import make_room, task

from whyguard.core.errors import ConfigError, PartialError, TeacherError
from whyguard.generation.calls.ask import ask
from whyguard.generation.teachers.base import Answer, Task, TeacherConfig, TeacherRuntime
from whyguard.generation.teachers.server import ServerTeacher

CONFIG = TeacherConfig(kind="openai", model_name="made-up", max_new_tokens=7, seed=5)
Behave = Callable[[str, int], web.Response | float]
"""(the user's text, how often it was asked before) -> a reply, or seconds to hang."""


def reply(text: object, tokens: object = 3) -> web.Response:
    body = {"choices": [{"message": {"content": text}}], "usage": {"completion_tokens": tokens}}
    return web.json_response(body)


class Server:
    """An OpenAI-like server in a thread; counts requests by the user's text."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.under_way = self.most = 0
        self.behave: Behave = lambda text, before: reply(f"to {text}")
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        self._ready.wait(10)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._port}/v1"

    def _serve(self) -> None:
        self._loop.run_until_complete(self._start())
        self._ready.set()
        self._loop.run_forever()
        self._loop.run_until_complete(self._runner.cleanup())
        self._loop.close()

    async def _start(self) -> None:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self._handle)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self._port = self._runner.addresses[0][1]

    async def _handle(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.bodies.append(body)
        self.headers.append(dict(request.headers))
        text = body["messages"][-1]["content"]
        before = self.asked[text]
        self.asked[text] += 1
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            await asyncio.sleep(0.005)
            done = self.behave(text, before)
            if isinstance(done, float):
                await asyncio.sleep(done)
                return reply("too late")
            return done
        finally:
            self.under_way -= 1

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.stop()


def runtime(server: Server, **other: Any) -> TeacherRuntime:
    quick = {"deadline_seconds": 0.4, "backoff_seconds": 0.01, "concurrency": 8}
    return TeacherRuntime(base_url=server.base_url, **(quick | other))


def answers(server: Server, tasks: list[Task], **other: Any) -> dict[str, Answer]:
    teacher = ServerTeacher(CONFIG, runtime(server, **other))
    return {done.prompt_id: answer for done, answer in teacher.answer(tasks)}


def test_every_task_is_answered(server: Server) -> None:
    tasks = [task(n) for n in range(60)]
    done = answers(server, tasks)
    assert {t.prompt_id: Answer(f"to request {n}", tokens=3) for n, t in enumerate(tasks)} == done
    assert 2 <= server.most <= 8
    assert server.bodies[0] == {
        "model": "made-up", "max_tokens": 7, "temperature": 0.0, "seed": 5,
        "messages": [{"role": "system", "content": "You are a guard."},
                     {"role": "user", "content": server.bodies[0]["messages"][1]["content"]}],
    }  # fmt: skip


def test_nothing_to_ask(server: Server) -> None:
    assert answers(server, []) == {}


BROKEN: list[web.Response | float | Callable[[], web.Response]] = [
    lambda: web.Response(status=500), lambda: web.Response(status=429),
    lambda: web.Response(status=503, text="<html>busy</html>"), 30.0,
    lambda: web.Response(text="{not json"), lambda: web.Response(body=b"\xff\xfe"),
    lambda: web.json_response([]), lambda: web.json_response({"choices": []}),
    lambda: web.json_response({"choices": [{"message": None}]}),
    lambda: web.json_response({"choices": [{"message": {"content": ["a"]}}]}),
    lambda: web.Response(text="null"), lambda: web.Response(text="[" * 100_000),
]  # fmt: skip


def test_passing_failures_are_tried_again(server: Server) -> None:
    def behave(text: str, before: int) -> web.Response | float:
        if before:
            return reply(f"to {text}")
        broken = BROKEN[int(text.split()[-1]) % len(BROKEN)]
        return broken() if callable(broken) else broken

    server.behave = behave
    done = answers(server, [task(n) for n in range(36)])
    assert [done[f"made:{n:03d}-h:eng_Latn"].text for n in range(36)] == [
        f"to request {n}" for n in range(36)
    ]
    assert set(server.asked.values()) == {2}


def test_a_server_that_asks_to_wait_is_waited_for(server: Server) -> None:
    slow = web.Response
    server.behave = lambda text, before: (
        reply("ok") if before else slow(status=429, headers={"Retry-After": "0.3"})
    )
    started = time.monotonic()
    assert len(answers(server, [task(1)])) == 1
    assert 0.3 <= time.monotonic() - started < 3


def test_a_wait_never_exceeds_the_deadline(server: Server) -> None:
    server.behave = lambda text, before: (
        reply("ok") if before else web.Response(status=503, headers={"Retry-After": "99999"})
    )
    started = time.monotonic()
    assert len(answers(server, [task(1)])) == 1
    assert time.monotonic() - started < 3


@pytest.mark.parametrize(("status", "text", "match"), [
    (401, "", "HTTP 401"),
    (404, json.dumps({"error": {"code": "model_not_found", "message": "SECRET"}}),
     r"HTTP 404 \(model_not_found\)"),
    (403, json.dumps({"error": {"message": "SECRET", "type": "bad words!"}}), "HTTP 403$"),
    (500, "", "HTTP 500"),
    (200, "SECRET", "a reply that is not JSON"),
    (200, json.dumps({"answer": "SECRET"}), r"a reply without choices"),
])  # fmt: skip
def test_a_failure_that_stays_is_an_error(
    server: Server, status: int, text: str, match: str
) -> None:
    server.behave = lambda _, before: web.Response(status=status, text=text)
    with pytest.raises(TeacherError, match=f"(?m){match}") as caught:
        answers(server, [task(1)], tries=3)
    assert "SECRET" not in str(caught.value)
    assert "made:001-h:eng_Latn" in str(caught.value)
    assert server.asked["request 1"] == (3 if status in (500, 200) else 1)


def test_a_hang_is_an_error_after_its_tries(server: Server) -> None:
    server.behave = lambda text, before: 30.0
    with pytest.raises(TeacherError, match="no answer before the deadline"):
        answers(server, [task(1)], deadline_seconds=0.1, tries=2)
    assert server.asked["request 1"] == 2


def test_no_server_at_all() -> None:
    nowhere = TeacherRuntime(base_url="http://127.0.0.1:9", tries=2, backoff_seconds=0.0)
    with pytest.raises(TeacherError, match="ClientConnectorError"):
        list(ServerTeacher(CONFIG, nowhere).answer([task(1)]))


def test_what_arrived_is_kept_and_a_rerun_asks_only_the_rest(
    server: Server, tmp_path: Path
) -> None:
    tasks = [task(n) for n in range(40)]
    server.behave = lambda text, before: (
        web.Response(status=403) if text == "request 20" else reply(f"to {text}")
    )
    room = make_room(tmp_path)
    teacher = ServerTeacher(CONFIG, runtime(server))
    with pytest.raises(PartialError, match="HTTP 403"):
        ask(teacher, tasks, CONFIG, room)
    first = Counter(server.asked)
    assert 20 < len(first) < 40

    server.behave = lambda text, before: reply(f"to {text}")
    done = ask(teacher, tasks, CONFIG, room)
    assert [item.answer.text for item in done] == [f"to request {n}" for n in range(40)]
    again = server.asked - first
    assert again == {f"request {n}": 1 for n in range(40) if n == 20 or f"request {n}" not in first}

    server.asked.clear()
    assert ask(teacher, tasks, CONFIG, room) == done
    assert not server.asked


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_refusal_of_one_prompt_is_an_answer_without_text(
    server: Server, tmp_path: Path, status: int
) -> None:
    error = json.dumps({"error": {"code": "context_length_exceeded", "message": "SECRET"}})
    server.behave = lambda text, before: (
        web.Response(status=status, text=error) if text == "request 1" else reply(f"to {text}")
    )
    room, tasks = make_room(tmp_path), [task(n) for n in range(3)]
    teacher = ServerTeacher(CONFIG, runtime(server))
    done = ask(teacher, tasks, CONFIG, room)
    assert [item.answer.text for item in done] == ["to request 0", None, "to request 2"]
    reason = f"the server refused it: HTTP {status} (context_length_exceeded)"
    assert done[1].answer.reason == reason
    assert ask(teacher, tasks, CONFIG, room) == done
    assert set(server.asked.values()) == {1}


def test_equal_tasks_are_one_call(server: Server, tmp_path: Path) -> None:
    twins = [task(1, "same"), task(2, "same"), task(1, "same", sample=1)]
    done = ask(ServerTeacher(CONFIG, runtime(server)), twins, CONFIG, make_room(tmp_path))
    assert server.asked["same"] == 2
    assert done[0].call_id == done[1].call_id != done[2].call_id


def test_a_consumer_that_stops_leaves_no_calls_behind(server: Server) -> None:
    server.behave = lambda text, before: reply("ok") if text == "request 0" else 30.0
    teacher = ServerTeacher(CONFIG, runtime(server, deadline_seconds=20.0))
    threads = threading.active_count()
    stream = teacher.answer([task(n) for n in range(5)])
    assert next(iter(stream))[1].text == "ok"
    started = time.monotonic()
    stream.close()  # type: ignore[attr-defined]
    assert time.monotonic() - started < 5
    assert threading.active_count() == threads


def test_works_inside_a_running_loop(server: Server) -> None:
    async def caller() -> int:
        return len(answers(server, [task(1)]))

    assert asyncio.run(caller()) == 1


def test_half_a_surrogate_pair_and_odd_usage_are_survived(server: Server) -> None:
    server.behave = lambda text, before: web.Response(
        text=json.dumps({"choices": [{"message": {"content": "a\ud800b"}}], "usage": "none"})
    )
    assert answers(server, [task(1)]) == {"made:001-h:eng_Latn": Answer("a\\ud800b")}
    server.behave = lambda text, before: reply(None, tokens="many")
    assert answers(server, [task(2)]) == {"made:002-h:eng_Latn": Answer("")}


def test_the_key_goes_to_the_server_and_nowhere_else(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MADE_UP_KEY", "hunter2")
    server.behave = lambda text, before: web.Response(status=401)
    with pytest.raises(TeacherError, match="HTTP 401") as caught:
        answers(server, [task(1)], api_key_env="MADE_UP_KEY")
    assert server.headers[0]["Authorization"] == "Bearer hunter2"
    assert "hunter2" not in str(caught.value)
    server.headers.clear()
    with pytest.raises(TeacherError, match="HTTP 401"):
        answers(server, [task(1)], api_key_env="NO_SUCH_KEY")
    assert "Authorization" not in server.headers[0]


@pytest.mark.parametrize(("base_url", "match"), [
    (None, "found:    nothing"),
    ("localhost:8000", "the address of a server"),
    ("ftp://a.example", "the address of a server"),
    ("http://[broken", "the address of a server"),
    ("http://me:hunter2@a.example/v1", "without name and password"),
])  # fmt: skip
def test_bad_addresses(base_url: str | None, match: str) -> None:
    with pytest.raises(ConfigError, match=match) as caught:
        ServerTeacher(CONFIG, TeacherRuntime(base_url=base_url))
    assert "hunter2" not in str(caught.value)
