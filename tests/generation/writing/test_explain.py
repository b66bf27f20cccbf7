"""generation.explain: one rationale a harmful English prompt and language."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from tests.generation.making import counted, inputs, prompt

from whyguard.core.steps import Room, StepResult
from whyguard.generation.teachers.base import TeacherConfig, TeacherRuntime
from whyguard.generation.writing.explain import EXPLAIN, ExplainConfig, tasks_for

PROMPTS = [prompt(n, label) for n in range(4) for label in ("harmful", "unharmful")]


def run(folder: Path, room: Room, languages: tuple[str, ...], **teacher: Any) -> StepResult:
    config = ExplainConfig(teacher=TeacherConfig(**teacher), languages=languages)
    quick = TeacherRuntime(device="cpu", threads=1, batch_size=4)
    return EXPLAIN.run(inputs(folder, prompts=PROMPTS), config, quick, room)


def test_category_wording(tmp_path: Path, room: Room) -> None:
    result = run(tmp_path, room, ("eng_Latn", "ast_Latn", "hin_Deva"), kind="template")
    assert result.rows.height == 8
    assert counted(result.drops) == {"no_explanation": 4}
    assert result.read == 12
    assert set(result.drops["reason"]) == {"no category wording in hin_Deva"}
    assert result.drops["row_id"][0] == "made:000-h:eng_Latn:hin_Deva"


def test_a_harmful_family_without_an_english_prompt_is_one_drop(tmp_path: Path, room: Room) -> None:
    only = [prompt(9, label, code) for label in ("harmful", "unharmful")
            for code in ("spa_Latn", "ast_Latn")]  # fmt: skip
    config = ExplainConfig(teacher=TeacherConfig(kind="template"))
    given = inputs(tmp_path, prompts=[*PROMPTS[:1], *only])
    result = EXPLAIN.run(given, config, TeacherRuntime(), room)
    assert counted(result.drops) == {"no_english_prompt": 1}
    assert result.drops["row_id"].to_list() == ["made:009-h"]
    assert result.read == result.rows.height + result.drops.height == 2


def test_a_model_is_asked_in_each_language_with_its_own_template(
    tmp_path: Path, room: Room, llama: Path
) -> None:
    languages = ("eng_Latn", "ast_Latn")
    result = run(tmp_path, room, languages, kind="transformers", model=f"path:{llama}",
                 max_new_tokens=5)  # fmt: skip
    assert result.rows.height + result.drops.height == result.read == 8
    config = ExplainConfig(teacher=TeacherConfig(kind="openai", model_name="m"),
                           languages=languages)  # fmt: skip
    tasks = tasks_for(inputs(tmp_path / "again", prompts=PROMPTS), config)
    assert len(tasks) == 8
    assert "Asturian" in tasks[1].messages[0][1]
    assert "<judge>" not in tasks[1].messages[0][1]


def test_the_estimate(tmp_path: Path) -> None:
    config = ExplainConfig(teacher=TeacherConfig(kind="openai", model_name="m", max_new_tokens=9))
    assert EXPLAIN.estimate is not None
    assert EXPLAIN.estimate(inputs(tmp_path, prompts=PROMPTS), config) == (4, 36)


def test_a_language_named_twice_is_an_error() -> None:
    teacher = TeacherConfig(kind="template")
    with pytest.raises(ValidationError, match="not 'ast_Latn' twice"):
        ExplainConfig(teacher=teacher, languages=("ast_Latn", "ast_Latn"))
    with pytest.raises(ValidationError, match="at least 1 item"):
        ExplainConfig(teacher=teacher, languages=())
