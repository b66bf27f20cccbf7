"""generation.trace: authored text becomes rows, and what is not of the grammar becomes drops."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.generation.making import counted, inputs, make_room, prompt

from whyguard.core.steps import Room, StepResult
from whyguard.generation.teachers.base import TeacherConfig, TeacherRuntime
from whyguard.generation.writing.trace import TRACE, TraceConfig

PROMPTS = [prompt(n, label) for n in range(6) for label in ("harmful", "unharmful")]


def run(folder: Path, room: Room, prompts: list[dict[str, Any]], limit: int | None = None,
        **teacher: Any) -> StepResult:  # fmt: skip
    config = TraceConfig(teacher=TeacherConfig(**teacher), limit=limit)
    quick = TeacherRuntime(device="cpu", threads=1, batch_size=4)
    return TRACE.run(inputs(folder, prompts=prompts), config, quick, room)


def test_template_traces_and_drops(tmp_path: Path, room: Room) -> None:
    spanish = prompt(0, language="spa_Latn")
    result = run(tmp_path, room, [*PROMPTS, spanish], kind="template")
    assert result.rows["prompt_id"].to_list() == [f"made:{n:03d}-h:eng_Latn" for n in range(6)]
    assert set(result.rows["generator"]) == {"template"}
    assert set(result.rows["call_id"]) == set(result.rows["seed"]) == {None}
    assert counted(result.drops) == {"no_trace": 6}
    assert result.read == result.rows.height + result.drops.height == 12


def test_a_family_without_an_english_prompt_is_one_drop(tmp_path: Path, room: Room) -> None:
    only = [prompt(9, language=code) for code in ("spa_Latn", "ast_Latn")]
    result = run(tmp_path, room, [*PROMPTS[:1], *only], kind="template")
    assert counted(result.drops) == {"no_english_prompt": 1}
    assert result.drops["row_id"].to_list() == ["made:009-h"]
    assert result.read == result.rows.height + result.drops.height == 2


def test_the_limit_counts_english_prompts(tmp_path: Path, room: Room) -> None:
    spanish = [prompt(n, language="spa_Latn") for n in range(6)]
    result = run(tmp_path, room, [*spanish, *PROMPTS], limit=3, kind="template")
    assert result.read == 3


def test_authored_traces(tmp_path: Path, room: Room) -> None:
    side = {"trace_en": "  The think\u00ad\u200bing  of it. ", "violations": ["S2", "S9"]}
    path = tmp_path / "g.jsonl"
    path.write_text(json.dumps({"group": "000", "harmful": side, "benign": {"trace_en": "b"}}))
    result = run(tmp_path / "in", room, PROMPTS[:3], kind="authored", file=str(path), source="made")
    row = result.rows.row(0, named=True)
    assert (row["think"], row["violations"]) == ("The thinking of it.", ["S2", "S9"])
    assert result.rows["verdict"].to_list() == ["harmful", "unharmful"]
    assert counted(result.drops) == {"no_trace": 1}


def test_a_random_model_gives_drops_that_hold_its_raw_answers(
    tmp_path: Path, room: Room, llama: Path
) -> None:
    result = run(tmp_path, room, PROMPTS, kind="transformers", model=f"path:{llama}",
                 max_new_tokens=6, samples=2, temperature=1.0)  # fmt: skip
    assert result.rows.height == 0
    assert counted(result.drops) == {"format": 24}
    assert len(set(result.drops["row"])) > 12
    assert json.loads(result.drops["row"][0]).keys() == {"answer"}
    assert set(result.drops["reason"]) != {""}
    assert result.drops["row_id"][1] == "made:000-h:eng_Latn#1"
    assert result.models[0].role == "teacher"


def test_an_answer_without_thinking_is_a_drop(tmp_path: Path) -> None:
    from whyguard.generation.calls.ask import Answered
    from whyguard.generation.teachers.base import Answer, Task
    from whyguard.generation.writing.trace import _parsed

    task = Task("trace", "p", "f", "harmful", (), "eng_Latn", 0, ())
    row, problem = _parsed(Answered(task, Answer("<judge>harmful</judge>"), None), "g", 0)
    assert (row, problem) == (None, "no <think> segment")
    _, problem = _parsed(Answered(task, Answer("SECRET words"), None), "g", 0)
    assert "no tag at all" in problem and "SECRET" not in problem


def test_the_estimate_counts_calls_and_tokens(tmp_path: Path) -> None:
    given = inputs(tmp_path, prompts=PROMPTS)
    assert TRACE.estimate is not None
    asks = TraceConfig(teacher=TeacherConfig(kind="openai", model_name="m", samples=2,
                                             max_new_tokens=10), limit=5)  # fmt: skip
    assert TRACE.estimate(given, asks) == (10, 100)
    free = TraceConfig(teacher=TeacherConfig(kind="template"))
    assert TRACE.estimate(given, free) == (0, 0)


def test_no_prompts_no_traces(tmp_path: Path) -> None:
    result = run(tmp_path, make_room(tmp_path / "r"), [], kind="template")
    assert (result.rows.height, result.drops.height, result.read) == (0, 0, 0)


def test_an_unknown_template_is_an_error_before_any_call(tmp_path: Path, room: Room) -> None:
    with pytest.raises(ValueError, match="the name of a template"):
        run(tmp_path, room, PROMPTS, kind="transformers", model="path:nowhere", template="x")
