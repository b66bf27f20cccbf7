"""generation.reply: a refusal for each harmful prompt, an answer for each other one."""

import json
from pathlib import Path
from typing import Any

from tests.generation.making import counted, inputs, prompt
from tests.generation.writing.made import between_marks, talking

from whyguard.core.steps import Estimate, Room, StepResult
from whyguard.core.values import ReplyKind
from whyguard.generation.packs.wording import refusal
from whyguard.generation.teachers.base import TeacherConfig, TeacherRuntime
from whyguard.generation.writing.reply import REPLY, ReplyConfig, tasks_for

PROMPTS = [prompt(n, label) for n in range(3) for label in ("harmful", "unharmful")]


def run(folder: Path, room: Room, languages: tuple[str, ...] = ("eng_Latn",),
        kinds: tuple[ReplyKind, ...] = tuple(ReplyKind), runtime: TeacherRuntime | None = None,
        **teacher: Any) -> StepResult:  # fmt: skip
    config = ReplyConfig(teacher=TeacherConfig(**teacher), languages=languages, kinds=kinds)
    given = inputs(folder, prompts=PROMPTS)
    return REPLY.run(given, config, runtime or TeacherRuntime(), room)


def test_refusals_of_language_packs(tmp_path: Path, room: Room) -> None:
    result = run(tmp_path, room, ("eng_Latn", "ast_Latn"), kind="template")
    assert set(result.rows["kind"]) == {"refusal"}
    assert set(result.rows["generator"]) == {"template"}
    asturian = result.rows.filter(language="ast_Latn")
    texts = dict(asturian.select("prompt_id", "text").iter_rows())
    assert texts["made:001-h:eng_Latn"] == refusal("ast_Latn", "made:001-h")
    assert counted(result.drops) == {"no_reply": 6}
    assert set(result.drops["reason"]) == {"no fixed sentence answers a harmless prompt"}
    assert result.read == 12 == result.rows.height + result.drops.height


def test_one_kind_alone(tmp_path: Path, room: Room) -> None:
    result = run(tmp_path, room, ("cym_Latn",), (ReplyKind.REFUSAL,), kind="template")
    assert counted(result.drops) == {"no_reply": 3}
    assert set(result.drops["reason"]) == {"no refusal wording in cym_Latn"}
    assert result.read == 3


def test_authored_replies(tmp_path: Path, room: Room) -> None:
    path = tmp_path / "g.jsonl"
    sides = {"harmful": {"refusal_es": "No puedo.", "rationale_es": "x"},
             "benign": {"answer_es": "A las nueve."}}  # fmt: skip
    path.write_text(json.dumps({"group": "000"} | sides))
    result = run(tmp_path / "in", room, ("spa_Latn",), kind="authored", file=str(path),
                 source="made")  # fmt: skip
    assert list(result.rows.select("kind", "text").iter_rows()) == [
        ("refusal", "No puedo."), ("helpful", "A las nueve.")
    ]  # fmt: skip
    assert counted(result.drops) == {"no_reply": 4}


def test_a_model_is_asked_by_kind_without_the_label(tmp_path: Path, room: Room) -> None:
    def talk(messages: list[dict[str, str]]) -> str:
        declines = "declines" in messages[0]["content"]
        return f"{'No' if declines else 'Yes'}: {between_marks(messages)}"

    with talking(talk) as runtime:
        result = run(tmp_path, room, runtime=runtime, kind="openai", model_name="m")
    assert result.rows["text"].to_list() == [
        f"{'No' if row['label'] == 'harmful' else 'Yes'}: {row['text']}" for row in PROMPTS
    ]


def test_the_estimate(tmp_path: Path) -> None:
    config = ReplyConfig(teacher=TeacherConfig(kind="openai", model_name="m", max_new_tokens=5),
                         languages=("eng_Latn", "spa_Latn"))  # fmt: skip
    assert REPLY.estimate is not None
    given = inputs(tmp_path, prompts=PROMPTS)
    found = REPLY.estimate(given, config, TeacherRuntime(), tmp_path / "ledger")
    assert (found.calls, found.completion_tokens) == (12, 60)
    assert "Spanish" in tasks_for(given, config)[1].messages[0][1]
    first = config.model_copy(update={"limit": 1})
    assert [task.language for task in tasks_for(given, first)] == ["eng_Latn", "spa_Latn"]
    free = ReplyConfig(teacher=TeacherConfig(kind="template"))
    assert REPLY.estimate(given, free, TeacherRuntime(), tmp_path / "ledger") == Estimate()


def test_a_family_without_an_english_prompt_is_one_drop(tmp_path: Path, room: Room) -> None:
    only = [prompt(9, language="ast_Latn"), prompt(9, "unharmful", "ast_Latn")]
    config = ReplyConfig(teacher=TeacherConfig(kind="template"), kinds=(ReplyKind.REFUSAL,))
    result = REPLY.run(inputs(tmp_path, prompts=only), config, TeacherRuntime(), room)
    assert counted(result.drops) == {"no_english_prompt": 1}
    assert result.read == 1
