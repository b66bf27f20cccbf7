"""What the writing steps share."""

from pathlib import Path

import pytest
from tests.generation.making import prompt

from whyguard.core.errors import ConfigError
from whyguard.core.steps import Estimate
from whyguard.generation.teachers.base import TeacherConfig, TeacherRuntime
from whyguard.generation.writing.tasks import (
    WritingConfig,
    build_task,
    cost,
    english,
    light,
    messages_for,
)

FREE = WritingConfig(teacher=TeacherConfig(kind="template"))
ASKS = WritingConfig(teacher=TeacherConfig(kind="openai", model_name="m", max_new_tokens=9))


def test_english_prompts() -> None:
    rows = [prompt(0), prompt(0, language="ast_Latn"), prompt(0, "unharmful")]
    assert [row["prompt_id"] for row in english(rows)] == [
        "made:000-h:eng_Latn", "made:000-b:eng_Latn"
    ]  # fmt: skip
    assert [row["label"] for row in english(rows, "unharmful")] == ["unharmful"]


def test_messages_are_for_models() -> None:
    assert messages_for(FREE, "trace-2", prompt(0), "eng_Latn") == ()
    messages = messages_for(ASKS, "trace-2", prompt(0), "eng_Latn")
    assert [role for role, _ in messages] == ["system", "user"]
    own = ASKS.model_copy(
        update={"teacher": ASKS.teacher.model_copy(update={"template": "trace-1"})}
    )
    assert messages_for(own, "trace-2", prompt(0), "eng_Latn") != messages


def test_a_template_that_wants_the_label_is_refused_where_it_must_not_be_known() -> None:
    with pytest.raises(ConfigError, match=r"template 'explanation-1'\n.*\n.*\$label"):
        messages_for(ASKS, "explanation-1", prompt(0), "eng_Latn")


def test_light_and_cost(tmp_path: Path) -> None:
    assert light(FREE) and not light(ASKS)
    row = prompt(0)
    tasks = [build_task("trace", row, "eng_Latn", messages_for(ASKS, "trace-2", row, "eng_Latn"), n)
             for n in range(3)]  # fmt: skip
    assert cost(tasks, FREE, TeacherRuntime(), tmp_path) == Estimate()
    found = cost(tasks, ASKS, TeacherRuntime(), tmp_path)
    assert (found.calls, found.cached, found.completion_tokens) == (3, 0, 27)
    assert tasks[1].sample == 1 and tasks[0].schema is None
