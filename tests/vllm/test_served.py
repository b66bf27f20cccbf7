"""A real server of vLLM: what it heeds, and what it ignores in silence."""

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.vllm.making import (
    PROMPTS,
    SPEED_TASKS,
    SPEED_TOKENS,
    check_traces,
    plain_task,
    same_texts,
    settings,
    starter_tasks,
)
from tests.vllm.runs import run_twice

from whyguard.core.errors import TeacherError
from whyguard.generation.teachers.base import Answer, Task, TeacherConfig, TeacherRuntime
from whyguard.generation.teachers.server import ServerTeacher

NAME = "smollm2"
_START_SECONDS = 240
_ENV = {"VLLM_CPU_KVCACHE_SPACE": "2", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1", "VLLM_LOGGING_LEVEL": "WARNING"}  # fmt: skip


@pytest.fixture(scope="module")
def base_url(model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("server")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model",
               str(model_folder), "--served-model-name", NAME, "--host", "127.0.0.1",
               "--port", str(port), "--dtype", "float32", "--enforce-eager",
               "--max-model-len", "2048", "--no-enable-chunked-prefill",
               "--generation-config", "vllm",
               "--structured-outputs-config",
               '{"backend": "xgrammar", "disable_any_whitespace": true}']  # fmt: skip
    with (folder / "log.txt").open("w") as log:
        process = subprocess.Popen(command, cwd=folder, env=os.environ | _ENV, stdout=log,
                                   stderr=subprocess.STDOUT)  # fmt: skip
        try:
            _wait_until_healthy(process, port, folder / "log.txt")
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)


def _wait_until_healthy(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    ends = time.monotonic() + _START_SECONDS
    while time.monotonic() < ends:
        assert process.poll() is None, log.read_text("utf-8")[-2000:]
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2) as reply:
                if reply.status == 200:
                    return
        except OSError:
            time.sleep(0.5)
    pytest.fail(f"the server did not start:\n{log.read_text('utf-8')[-2000:]}")


def config(**other: Any) -> TeacherConfig:
    return TeacherConfig(kind="openai", **settings(**({"model_name": NAME} | other)))


def written(base_url: str, config: TeacherConfig, tasks: Sequence[Task]) -> list[Answer]:
    async def main() -> list[Answer]:
        teacher = ServerTeacher(config, TeacherRuntime(base_url=base_url))
        await teacher.open()
        try:
            return list(await asyncio.gather(*(teacher.call(task) for task in tasks)))
        finally:
            await teacher.close()

    return asyncio.run(main())


def completed(base_url: str, **fields: Any) -> Any:
    """The choice of a plain request, for fields that whyguard never sends."""
    body = {"model": NAME, "messages": [{"role": "user", "content": "Name a colour."}],
            "max_tokens": 16, "temperature": 0.0} | fields  # fmt: skip
    request = urllib.request.Request(f"{base_url}/chat/completions", json.dumps(body).encode(),  # noqa: S310
                                     {"Content-Type": "application/json"})  # fmt: skip
    with urllib.request.urlopen(request, timeout=60) as reply:  # noqa: S310
        return json.loads(reply.read())["choices"][0]


def raw(base_url: str, **fields: Any) -> str:
    """Its text."""
    text: str = completed(base_url, **fields)["message"]["content"]
    return text


def test_what_the_server_can_do(base_url: str, checked: list[str]) -> None:
    import aiohttp

    from whyguard.generation.teachers.capabilities import ServerFacts, check_server

    async def main() -> ServerFacts:
        async with aiohttp.ClientSession() as session:
            return await check_server(session, base_url, config(logprobs=True))

    facts = asyncio.run(main())
    assert facts.structured == "response_format"
    assert facts.context == 2048
    assert facts.version and facts.version[0].isdigit()
    checked.append(f"  server: version {facts.version}, heeds {facts.structured}, log-probabilities"
                   f", context {facts.context}")  # fmt: skip


def test_a_model_that_is_not_served(base_url: str) -> None:
    with pytest.raises(TeacherError, match=f"found:    {NAME}"):
        written(base_url, config(model_name="smollm3"), [])


def test_traces_keep_to_the_schema(base_url: str, checked: list[str]) -> None:
    tasks = starter_tasks()
    answers = written(base_url, config(logprobs=True), tasks)
    check_traces(tasks, answers)
    logprobs = [answer.logprob for answer in answers]
    assert all(logprob is not None and -30 < logprob <= 0 for logprob in logprobs)
    checked.append(f"  server: {len(answers)} of {PROMPTS} answers of the schema, all ended with "
                   "stop, all with a verdict log-probability")  # fmt: skip


def test_both_fields_hold_answers_and_guided_ones_do_not(base_url: str, checked: list[str]) -> None:
    choices = ["zq-31", "zq-32"]
    schema = {"type": "object", "properties": {"k": {"enum": choices}}, "required": ["k"],
              "additionalProperties": False}  # fmt: skip
    assert json.loads(raw(base_url, structured_outputs={"json": schema}))["k"] in choices
    assert raw(base_url, structured_outputs={"choice": choices}) in choices
    free = raw(base_url)
    assert raw(base_url, guided_choice=choices) == free
    assert raw(base_url, guided_json=schema) == free
    assert free not in choices
    checked.append("  server: guided_choice and guided_json are ignored: the answer is the free "
                   "one")  # fmt: skip


def test_logprobs_are_of_what_structured_outputs_leave(base_url: str, checked: list[str]) -> None:
    """Where one token is left, it is certain, however improbable it is to the model."""
    free = completed(base_url, logprobs=True, top_logprobs=20)
    one = completed(base_url, logprobs=True, structured_outputs={"choice": ["7"]})
    likely = {other["token"] for other in free["logprobs"]["content"][0]["top_logprobs"]}
    assert len(likely) == 20 and "7" not in likely
    assert one["message"]["content"] == "7"
    assert one["logprobs"]["content"][0]["logprob"] == pytest.approx(0.0, abs=1e-6)
    checked.append("  server: under structured outputs log-probabilities are of what they leave: a "
                   "token without alternative has 0, though the model has it not among its first 20"
                   )  # fmt: skip


def test_same_seed_same_text_and_another_seed_another(base_url: str, checked: list[str]) -> None:
    hot = {"temperature": 0.8, "max_new_tokens": 48, "form": "tags"}
    tasks = [plain_task(n) for n in range(4)]
    first = written(base_url, config(**hot), tasks)
    assert same_texts(first, written(base_url, config(**hot), tasks)) == len(tasks)
    assert same_texts(first, written(base_url, config(**hot, seed=9), tasks)) == 0
    checked.append("  server: same seed same text, other seed other text, at temperature 0.8")


def test_an_answer_can_be_begun(base_url: str) -> None:
    begun = plain_task(1)
    begun = begun._replace(messages=(*begun.messages, ("assistant", "<think>Gardens need")))
    answer = written(base_url, config(max_new_tokens=8, form="tags"), [begun])[0]
    assert answer.text and not answer.text.startswith("<think>")


def test_speed(base_url: str, figures: dict[str, float]) -> None:
    free = config(temperature=0.8, max_new_tokens=SPEED_TOKENS, form="tags")
    tasks = [plain_task(1000 + n) for n in range(SPEED_TASKS)]
    written(base_url, free, [plain_task(0)])
    began = time.perf_counter()
    answers = written(base_url, free, tasks)
    tokens = sum(answer.tokens or 0 for answer in answers)
    figures["server"] = tokens / (time.perf_counter() - began)
    assert tokens > SPEED_TASKS * SPEED_TOKENS // 2


def test_a_recipe_runs_on_the_server(base_url: str, tmp_path: Path, checked: list[str]) -> None:
    teacher = {"kind": "openai", "model_name": NAME, **settings(logprobs=True)}
    checked.append(f"  server: {run_twice(teacher, {'base_url': base_url}, tmp_path)}")
