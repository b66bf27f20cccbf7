"""The server teacher against a real HTTP server on loopback that misbehaves."""

import asyncio
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from tests.generation.making import task

from whyguard.core.errors import ConfigError, TeacherError
from whyguard.generation.teachers.base import (
    Answer,
    CallTeacher,
    Task,
    TeacherConfig,
    TeacherRuntime,
)
from whyguard.generation.teachers.failures import CallError, Cause, retry_after
from whyguard.generation.teachers.server import ServerTeacher, read_reply

CONFIG = TeacherConfig(kind="openai", model_name="made-up", max_new_tokens=7, seed=5)
Behave = Callable[[str, int], web.Response]
"""(the user's text, how often it was asked before) -> a reply."""


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
            return self.behave(text, before)
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
    quick = {"deadline_seconds": 10.0, "backoff_seconds": 0.01, "concurrency": 8}
    return TeacherRuntime(base_url=server.base_url, **(quick | other))


def call(server: Server, sent: Task, config: TeacherConfig = CONFIG, **other: Any) -> Answer:
    """One try, after connecting."""

    async def once() -> Answer:
        teacher = ServerTeacher(config, runtime(server, **other))
        await teacher.open()
        try:
            return await teacher.call(sent)
        finally:
            await teacher.close()

    return asyncio.run(once())


def test_a_call_sends_what_shapes_the_answer_and_reads_the_reply(server: Server) -> None:
    config = CONFIG.model_copy(update={"temperature": 0.5, "top_p": 0.9})
    answer = call(server, task(1, sample=2), config)
    assert answer == Answer("to request 1", tokens=3)
    assert server.bodies == [{
        "model": "made-up", "max_tokens": 7, "temperature": 0.5, "top_p": 0.9, "seed": 7,
        "messages": [{"role": "system", "content": "You are a guard."},
                     {"role": "user", "content": "request 1"}],
    }]  # fmt: skip
    assert server.headers[0]["Content-Type"] == "application/json"


def test_it_is_a_teacher_of_calls() -> None:
    teacher = ServerTeacher(CONFIG, TeacherRuntime(base_url="http://a.example/v1"))
    assert isinstance(teacher, CallTeacher)
    assert teacher.identity == ()
    assert teacher.generator == "server:made-up"
    assert teacher.use is not None
    assert teacher.use.revision == "as served"


def test_a_prefix_is_continued_and_log_probabilities_are_read(server: Server) -> None:
    pieces = [{"token": "<judge>", "logprob": -0.1}, {"token": "harm", "logprob": -0.25},
              {"token": "ful", "logprob": -0.5}, {"token": "</judge>", "logprob": 0.0}]  # fmt: skip
    body = {"choices": [{"message": {"content": "<judge>harmful</judge>"}, "finish_reason": "stop",
                         "logprobs": {"content": pieces}}],
            "usage": {"prompt_tokens": 11, "completion_tokens": 4}}  # fmt: skip
    server.behave = lambda text, before: web.json_response(body)
    config = CONFIG.model_copy(update={"logprobs": True})
    messages = (("user", "request 1"), ("assistant", "<think>"))
    answer = call(server, task(1, messages=messages), config)
    assert answer.logprob == pytest.approx(-0.75)
    assert (answer.tokens, answer.prompt_tokens, answer.finish) == (4, 11, "stop")
    sent = server.bodies[-1]
    assert sent["logprobs"] is True
    assert sent["continue_final_message"] is True
    assert sent["add_generation_prompt"] is False


def test_a_schema_goes_into_response_format_and_never_into_guided_fields(server: Server) -> None:
    call(server, task(1, schema='{"type":"object"}'))
    form = server.bodies[0]["response_format"]
    assert form["type"] == "json_schema"
    assert form["json_schema"]["schema"] == {"type": "object"}
    assert form["json_schema"]["strict"] is True
    assert not [name for name in server.bodies[0] if name.startswith("guided")]


def test_a_server_that_ignores_schemas_is_found_out_before_any_prompt_is_sent(
    server: Server,
) -> None:
    config = CONFIG.model_copy(update={"form": "json"})
    with pytest.raises(TeacherError, match="ignores structured outputs"):
        call(server, task(1, schema='{"type":"object"}'), config)
    assert "request 1" not in server.asked


@pytest.mark.parametrize(("status", "text", "cause", "match"), [
    (401, "", Cause.FORBIDDEN, "HTTP 401$"),
    (404, json.dumps({"error": {"code": "model_not_found", "message": "SECRET"}}),
     Cause.FORBIDDEN, r"HTTP 404 \(model_not_found\)"),
    (402, json.dumps({"error": {"message": "SECRET", "type": "bad words!"}}), Cause.FORBIDDEN,
     "HTTP 402$"),
    (400, json.dumps({"error": {"code": "context_length_exceeded", "message": "SECRET"}}),
     Cause.REFUSED, r"HTTP 400 \(context_length_exceeded\)"),
    (413, "", Cause.REFUSED, "HTTP 413"),
    (403, "", Cause.REFUSED, "HTTP 403"),
    (401, "", Cause.FORBIDDEN, "HTTP 401"),
    (404, "", Cause.FORBIDDEN, "HTTP 404"),
    (422, "[]", Cause.REFUSED, "HTTP 422$"),
    (408, "", Cause.SERVER_ERROR, "HTTP 408"),
    (429, "", Cause.RATE_LIMITED, "HTTP 429"),
    (500, "SECRET", Cause.SERVER_ERROR, "HTTP 500$"),
    (503, "", Cause.SERVER_ERROR, "HTTP 503"),
    (200, "SECRET", Cause.MALFORMED, "a reply that is not JSON"),
    (200, json.dumps({"answer": "SECRET"}), Cause.MALFORMED, "a reply without choices"),
    (200, json.dumps({"choices": [{"message": {"content": ["SECRET"]}}]}), Cause.MALFORMED,
     "content is no text"),
    (200, '{"choices": [{"message": {"content": "SECRET', Cause.TRUNCATED, "JSON is cut off"),
    (200, "", Cause.TRUNCATED, "JSON is cut off"),
])  # fmt: skip
def test_failures_have_a_cause_and_quote_no_body(
    server: Server, status: int, text: str, cause: Cause, match: str
) -> None:
    server.behave = lambda _, before: web.Response(status=status, text=text)
    with pytest.raises(CallError, match=match) as caught:
        call(server, task(1))
    assert caught.value.cause is cause
    assert "SECRET" not in str(caught.value)


def test_a_wait_that_the_server_asks_for_is_handed_on(server: Server) -> None:
    server.behave = lambda text, before: web.Response(status=429, headers={"Retry-After": "7"})
    with pytest.raises(CallError, match="HTTP 429") as caught:
        call(server, task(1))
    assert caught.value.wait == 7.0


@pytest.mark.parametrize(("value", "seconds"), [
    (None, 0), ("", 0), ("3", 3), (" 0.5 ", 0.5), ("-3", 0), ("soon", 0), ("1e9", 0),
    ("Thu, 01 Jan 1970 00:16:50 GMT", 10), ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
])  # fmt: skip
def test_retry_after_is_seconds_or_a_date(value: str | None, seconds: float) -> None:
    assert retry_after(value, 1000.0) == seconds


@given(st.text(max_size=40))
def test_any_retry_after_is_survived(value: str) -> None:
    assert retry_after(value, 0.0) >= 0.0


@given(st.binary(max_size=200))
def test_any_body_is_an_answer_or_a_failure(body: bytes) -> None:
    try:
        assert isinstance(read_reply(body), Answer)
    except CallError as error:
        assert error.cause in (Cause.TRUNCATED, Cause.MALFORMED)


@given(st.text() | st.text('}]{[",\\ue1'), st.data())
def test_every_cut_of_a_reply_is_seen_as_one(text: str, data: st.DataObject) -> None:
    whole = json.dumps({"choices": [{"message": {"content": text}}], "usage": {}}).encode()
    assert read_reply(whole).text is not None
    cut = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(CallError, match="cut off") as caught:
        read_reply(whole[:cut])
    assert caught.value.cause is Cause.TRUNCATED


def test_a_connection_that_closes_inside_the_reply_is_truncation(server: Server) -> None:
    server.behave = lambda text, before: web.Response(
        body=b'{"choices"', headers={"Content-Length": "10", "Connection": "close"}
    )
    with pytest.raises(CallError, match="cut off") as caught:
        call(server, task(1))
    assert caught.value.cause is Cause.TRUNCATED


def test_no_server_at_all_is_found_out_at_the_start() -> None:
    nowhere = TeacherRuntime(base_url="http://127.0.0.1:9", deadline_seconds=1.0)
    with pytest.raises(TeacherError, match="a server that answers"):
        asyncio.run(ServerTeacher(CONFIG, nowhere).open())


def test_half_a_surrogate_pair_and_odd_usage_are_survived(server: Server) -> None:
    server.behave = lambda text, before: web.Response(
        text=json.dumps({"choices": [{"message": {"content": "a\ud800b"}}], "usage": "none"})
    )
    assert call(server, task(1)) == Answer("a\\ud800b")
    server.behave = lambda text, before: reply(None, tokens="many")
    assert call(server, task(2)) == Answer("")


def test_a_model_that_refuses_has_no_text() -> None:
    body = {"choices": [{"message": {"content": None, "refusal": "I cannot."}}]}
    assert read_reply(json.dumps(body).encode()) == Answer(None, "the model refused to answer")


def test_the_key_goes_to_the_server_and_nowhere_else(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MADE_UP_KEY", "hunter2")
    server.behave = lambda text, before: web.Response(status=401)
    with pytest.raises(CallError, match="HTTP 401") as caught:
        call(server, task(1), api_key_env="MADE_UP_KEY")
    assert server.headers[0]["Authorization"] == "Bearer hunter2"
    assert "hunter2" not in str(caught.value)
    server.headers.clear()
    with pytest.raises(CallError, match="HTTP 401"):
        call(server, task(1), api_key_env="NO_SUCH_KEY")
    assert "Authorization" not in server.headers[0]


def test_a_key_is_stripped_and_one_that_cannot_be_sent_is_not_shown(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MADE_UP_KEY", " hunter2\n")
    assert call(server, task(1), api_key_env="MADE_UP_KEY").text == "to request 1"
    assert server.headers[0]["Authorization"] == "Bearer hunter2"
    monkeypatch.setenv("MADE_UP_KEY", "hunter\r\n2")
    with pytest.raises(ConfigError, match=r"variable MADE_UP_KEY\n.*key for the server") as caught:
        ServerTeacher(CONFIG, runtime(server, api_key_env="MADE_UP_KEY"))
    assert "hunter" not in str(caught.value)


@pytest.mark.parametrize(("digits", "cause"), [(30, None), (5000, Cause.MALFORMED)])
def test_odd_numbers_are_survived(digits: int, cause: Cause | None) -> None:
    number = "1" + "0" * digits
    usage = '{"prompt_tokens": -1, "completion_tokens": ' + number + "}"
    body = '{"choices": [{"message": {"content": "a"}}], "usage": ' + usage + "}"
    if cause is None:
        assert read_reply(body.encode()) == Answer("a")
    else:
        with pytest.raises(CallError, match="malformed reply") as caught:
            read_reply(body.encode())
        assert caught.value.cause is cause


@pytest.mark.parametrize(("base_url", "match"), [
    (None, "found:    nothing"),
    ("localhost:8000", "the address of a server"),
    ("ftp://a.example", "the address of a server"),
    ("ftp://me:hunter2@a.example?key=hunter2", "'ftp://a.example'"),
    ("http://[broken", "the address of a server"),
    ("http://me:hunter2@a.example/v1", "without name and password"),
])  # fmt: skip
def test_bad_addresses(base_url: str | None, match: str) -> None:
    with pytest.raises(ConfigError, match=match) as caught:
        ServerTeacher(CONFIG, TeacherRuntime(base_url=base_url))
    assert "hunter2" not in str(caught.value)
