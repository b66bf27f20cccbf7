"""A teacher behind any OpenAI-compatible server (vLLM, llama.cpp, a hosted API)."""

import asyncio
import contextlib
import json
import os
import queue
import random
import re
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from whyguard.core.artefact import ModelUse
from whyguard.core.errors import ConfigError, TeacherError, explain, fail
from whyguard.curation.rejects import encodable
from whyguard.generation.teachers.base import Answer, Task, TeacherConfig, TeacherRuntime

_RETRIED = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
_REFUSED = frozenset({400, 413, 422})
"""Said of one prompt (too long, filtered), not of the server: stored as no answer."""
_CODE = re.compile(r"[\w.-]{1,60}")
_Done = tuple[Task, Answer] | BaseException | None


class ServerTeacher:
    """Bounded concurrency, a deadline a try, tries again on 408, 429, 5xx, time-outs and replies
    that are no answers. A refusal of one prompt (400, 413, 422) is an answer without text.

    Raises:
        ConfigError: there is no address, or it holds a password.
    """

    needs_messages = True
    batch: int | None = None

    def __init__(self, config: TeacherConfig, runtime: TeacherRuntime) -> None:
        self._config, self._runtime = config, runtime
        self._url = _address(runtime.base_url)
        self.generator = f"server:{config.model_name}"
        self.use: ModelUse | None = ModelUse(
            reference=str(config.model_name), revision="as served", licence="not stated",
            role="teacher",
        )  # fmt: skip

    def answer(self, tasks: Sequence[Task]) -> Iterator[tuple[Task, Answer]]:
        """Answers as they arrive.

        Raises:
            TeacherError: a call failed for good. No new calls were begun after that, and those
                under way were waited for and handed out.
        """
        pump = _Pump(self, tasks)
        pump.start()
        try:
            while (item := pump.arrived.get()) is not None:
                if isinstance(item, BaseException):
                    raise item
                yield item
        finally:
            pump.stop()

    async def ask_all(self, tasks: Sequence[Task], arrived: "queue.Queue[_Done]") -> None:
        """Put each task's answer into the queue.

        Raises:
            TeacherError: the first call that failed for good.
        """
        waiting = deque(tasks)
        failed: list[TeacherError] = []
        timeout = aiohttp.ClientTimeout(total=self._runtime.deadline_seconds)
        async with aiohttp.ClientSession(timeout=timeout, headers=self._headers()) as session:

            async def work() -> None:
                while waiting and not failed:
                    task = waiting.popleft()
                    try:
                        arrived.put((task, await self._call(session, task)))
                    except TeacherError as error:
                        failed.append(error)

            workers = min(self._runtime.concurrency, len(tasks))
            await asyncio.gather(*(work() for _ in range(workers)))
        if failed:
            raise failed[0]

    async def _call(self, session: aiohttp.ClientSession, task: Task) -> Answer:
        problem = "nothing"
        for attempt in range(self._runtime.tries):
            asked_wait = 0.0
            try:
                async with session.post(self._url, json=self._body(task)) as response:
                    body = await response.read()
                    if response.status == 200:
                        return _read(body)
                    problem = f"HTTP {response.status}{_error_code(body)}"
                    if response.status in _REFUSED:
                        return Answer(None, f"the server refused it: {problem}")
                    asked_wait = _retry_after(response.headers.get("Retry-After"))
                    if response.status not in _RETRIED:
                        break
            except (TimeoutError, aiohttp.ClientError, ValueError) as error:
                problem = _named(error)
            if attempt + 1 < self._runtime.tries:
                await asyncio.sleep(self._wait(attempt, asked_wait))
        raise TeacherError(explain(f"{self._url}: {task.prompt_id}", "an answer", problem,
                                   "see the server's log, then run again: answers that came are "
                                   "kept"))  # fmt: skip

    def _wait(self, attempt: int, asked: float) -> float:
        own = self._runtime.backoff_seconds * 2.0**attempt * random.uniform(0.5, 1.5)
        return min(max(own, asked), self._runtime.deadline_seconds)

    def _headers(self) -> dict[str, str]:
        key = os.environ.get(self._runtime.api_key_env)
        return {"Authorization": f"Bearer {key}"} if key else {}

    def _body(self, task: Task) -> dict[str, Any]:
        return {
            "model": self._config.model_name,
            "messages": [{"role": role, "content": text} for role, text in task.messages],
            "max_tokens": self._config.max_new_tokens,
            "temperature": self._config.temperature,
            "seed": self._config.seed + task.sample,
        }


class _Pump(threading.Thread):
    """Runs the calls in a loop of its own, so that a caller with a running loop is no trouble."""

    def __init__(self, teacher: ServerTeacher, tasks: Sequence[Task]) -> None:
        super().__init__(daemon=True)
        self.arrived: queue.Queue[_Done] = queue.Queue()
        self._teacher, self._tasks = teacher, tasks
        self._loop = asyncio.new_event_loop()
        self._job: asyncio.Task[None] | None = None

    def run(self) -> None:
        """Ask for everything; the end, or the failure, is the last item of the queue."""
        try:
            self._job = self._loop.create_task(self._teacher.ask_all(self._tasks, self.arrived))
            self._loop.run_until_complete(self._job)
            self.arrived.put(None)
        except BaseException as error:  # handed to the consumer, who raises it
            self.arrived.put(error)
        finally:
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()

    def stop(self) -> None:
        """Give up calls that are still under way: nobody waits for their answers any more."""
        with contextlib.suppress(RuntimeError):  # the loop is closed: everything is done
            self._loop.call_soon_threadsafe(self._cancel)
        self.join()

    def _cancel(self) -> None:
        if self._job is not None:
            self._job.cancel()


def _address(base_url: str | None) -> str:
    try:
        url = urlsplit(base_url or "")
        host = url.hostname
    except ValueError:
        host = None
    if not host or url.scheme not in ("http", "https"):
        fail(ConfigError, where="runtime.base_url", expected="the address of a server",
             found=f"'{base_url}'" if base_url else "nothing",
             do="set it, for example http://127.0.0.1:8000/v1")  # fmt: skip
    if "@" in url.netloc:
        fail(ConfigError, where="runtime.base_url", expected="an address without name and password",
             found="a name or password in it", do="put the key into the environment variable that "
             "api_key_env names: addresses are recorded")  # fmt: skip
    return f"{str(base_url).rstrip('/')}/chat/completions"


def _read(body: bytes) -> Answer:
    """The answer in a reply.

    Raises:
        ValueError: the reply is not of the protocol's form.
    """
    try:
        reply = json.loads(body)
        content = reply["choices"][0]["message"]["content"]
        usage = reply.get("usage")
    except (LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError("a reply without choices[0].message.content") from error
    if content is not None and not isinstance(content, str):
        raise ValueError("a reply whose content is no text")
    tokens = usage.get("completion_tokens") if isinstance(usage, dict) else None
    counted = tokens if isinstance(tokens, int) and not isinstance(tokens, bool) else None
    return Answer(encodable(content or ""), tokens=counted)


def _named(error: Exception) -> str:
    """A failure in words; JSON errors quote no text."""
    if isinstance(error, TimeoutError):
        return "no answer before the deadline"
    if isinstance(error, json.JSONDecodeError | UnicodeDecodeError):
        return "a reply that is not JSON"
    return f"{type(error).__name__}: {error}"


def _error_code(body: bytes) -> str:
    """The code of an error reply; its message may quote the prompt, and is not repeated."""
    try:
        error = json.loads(body)["error"]
        code = str(error.get("code") or error.get("type") or "")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return ""
    return f" ({code})" if _CODE.fullmatch(code) else ""


def _retry_after(value: str | None) -> float:
    """Seconds that a server asks to wait; 0 where it says nothing (or names a date)."""
    return float(value) if value and re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6})?", value) else 0.0
