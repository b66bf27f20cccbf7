"""A teacher behind any OpenAI-compatible server (vLLM, llama.cpp, a hosted API)."""

import asyncio
import json
import os
import queue
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import aiohttp

from whyguard.core.artefact import ModelUse
from whyguard.core.errors import ConfigError, TeacherError, explain, fail
from whyguard.core.steps import Room, Runtime
from whyguard.generation.teachers import Answer, Task, TeacherConfig

_TRIES = 4
_DEADLINE_SECONDS = 120
_RETRIED = frozenset({408, 429, 500, 502, 503, 504})
_Done = tuple[Task, Answer] | BaseException | None


class ServerTeacher:
    """Bounded concurrency, a deadline a call, retries with backoff on 429, 5xx and time-outs."""

    needs_messages = True
    batch: int | None = None

    def __init__(self, config: TeacherConfig, runtime: Runtime, room: Room) -> None:
        if config.model_name is None or runtime.base_url is None:
            fail(ConfigError, where="teacher", expected="config.teacher.model_name and "
                 "runtime.base_url", found=f"{config.model_name} and {runtime.base_url}",
                 do="set both, for example base_url: http://127.0.0.1:8000/v1")  # fmt: skip
        self._config, self._runtime = config, runtime
        self._url = f"{runtime.base_url.rstrip('/')}/chat/completions"
        self.generator = f"server:{config.model_name}"
        self.use: ModelUse | None = ModelUse(
            reference=config.model_name, revision="as served", licence="not stated", role="teacher"
        )

    def answer(self, tasks: Sequence[Task]) -> Iterator[tuple[Task, Answer]]:
        """Answers as they arrive.

        Raises:
            TeacherError: a call failed for good; what arrived before was handed out already.
        """
        arrived: queue.Queue[_Done] = queue.Queue()
        worker = threading.Thread(target=self._work, args=(tasks, arrived), daemon=True)
        worker.start()
        while (item := arrived.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
        worker.join()

    def _work(self, tasks: Sequence[Task], arrived: "queue.Queue[_Done]") -> None:
        try:
            asyncio.run(self._all(tasks, arrived))
            arrived.put(None)
        except BaseException as error:  # handed to the consumer, who raises it
            arrived.put(error)

    async def _all(self, tasks: Sequence[Task], arrived: "queue.Queue[_Done]") -> None:
        gate = asyncio.Semaphore(self._runtime.concurrency)
        timeout = aiohttp.ClientTimeout(total=_DEADLINE_SECONDS)
        async with aiohttp.ClientSession(timeout=timeout, headers=self._headers()) as session:

            async def one(task: Task) -> None:
                async with gate:
                    arrived.put((task, await self._call(session, task)))

            async with asyncio.TaskGroup() as group:
                for task in tasks:
                    group.create_task(one(task))

    async def _call(self, session: aiohttp.ClientSession, task: Task) -> Answer:
        problem = ""
        for attempt in range(_TRIES):
            try:
                async with session.post(self._url, json=self._body(task)) as response:
                    text = await response.text()
                    if response.status == 200:
                        return _read(json.loads(text))
                    problem = f"HTTP {response.status}"
                    if response.status not in _RETRIED:
                        break
            except (TimeoutError, aiohttp.ClientError, json.JSONDecodeError, LookupError) as error:
                problem = f"{type(error).__name__}: {error}"
            await asyncio.sleep(0.5 * 2**attempt)
        raise TeacherError(explain(self._url, "an answer", problem,
                                   "see the server's log; run again: stored answers are kept"))  # fmt: skip

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


def _read(body: dict[str, Any]) -> Answer:
    choice = body["choices"][0]
    usage = body.get("usage") or {}
    return Answer(choice["message"]["content"] or "", tokens=usage.get("completion_tokens"))
