"""generation.examples: prompts, traces and explanations joined by family and language."""

from pathlib import Path
from typing import Any

import pytest
from tests.generation.making import counted, explanation, inputs, prompt, trace
from tests.generation.writing.made import reply, with_replies

from whyguard.core.errors import DataError
from whyguard.core.steps import Room, Runtime, StepResult
from whyguard.generation.examples import EXAMPLES, ExamplesConfig

BOTH = ("eng_Latn", "ast_Latn")


def wording(n: int, language: str = "eng_Latn", **other: Any) -> dict[str, Any]:
    text = "This request falls under: Non-Violent Crimes."
    return explanation(n, language, text=text, generator="template") | other


def run(folder: Path, room: Room, languages: tuple[str, ...] = BOTH, require: bool = True,
        **tables: list[dict[str, Any]]) -> StepResult:  # fmt: skip
    config = ExamplesConfig(languages=languages, require_explanation=require)
    return EXAMPLES.run(inputs(folder, **tables), config, Runtime(), room)


def test_everything_is_joined_by_family_and_language(tmp_path: Path, room: Room) -> None:
    result = run(
        tmp_path, room,
        prompts=[prompt(0), prompt(0, language="ast_Latn", translator="apertium 3",
                                   signals=[{"name": "length_ratio", "value": 1.1}]),
                 prompt(0, "unharmful")],
        traces=[trace(0, sample=1, think="second"), trace(0, think="first"),
                trace(0, "unharmful", think="harmless")],
        explanations=[explanation(0, text="In English."),
                      explanation(0, "ast_Latn", text="N'asturianu.", translator="apertium 3")],
        templates=[wording(0), wording(0, "ast_Latn", text="Entra na categoría.")],
    )  # fmt: skip
    english, local, benign = result.rows.to_dicts()
    assert local["example_id"] == "made:000-h:ast_Latn"
    assert local["think"] == english["think"] == "first"
    assert (local["explanation"], local["explanation_english"]) == ("N'asturianu.", "In English.")
    assert local["explanation_template"] == "Entra na categoría."
    assert local["explanation_generator"] == "authored:made"
    assert local["translator"] == local["explanation_translator"] == "apertium 3"
    assert local["signals"] == [{"name": "length_ratio", "value": 1.1}]
    assert benign["think"] == "harmless"
    assert benign["explanation"] is benign["explanation_template"] is None
    assert not any(row["reviewed"] for row in (english, local, benign))
    assert result.read == 3 and result.drops.height == 0


def test_harmful_rows_without_an_explanation_are_dropped(tmp_path: Path, room: Room) -> None:
    tables: dict[str, Any] = {"prompts": [prompt(0), prompt(1), prompt(1, "unharmful"),
                          prompt(0, language="ast_Latn"), prompt(0, language="cat_Latn")],
              "explanations": [explanation(0)]}  # fmt: skip
    result = run(tmp_path / "a", room, **tables)
    assert result.rows["example_id"].to_list() == ["made:000-h:eng_Latn", "made:001-b:eng_Latn"]
    assert counted(result.drops) == {"no_explanation": 2, "other_language": 1}
    assert result.read == 5
    kept = run(tmp_path / "b", room, require=False, **tables)
    assert kept.rows.height == 4


def test_an_explanation_of_a_benign_row_is_not_taken(tmp_path: Path, room: Room) -> None:
    stray = explanation(0) | {"prompt_id": "made:000-b:eng_Latn"}
    unknown = explanation(7)
    result = run(tmp_path, room, prompts=[prompt(0, "unharmful")], explanations=[stray, unknown])
    assert result.rows["explanation"].to_list() == [None]


def test_category_wording_is_never_an_explanation(tmp_path: Path, room: Room) -> None:
    mixed = [explanation(0), wording(1), wording(2)]
    with pytest.raises(DataError, match=r"'explanations'\n(.*\n)*.*2 of 3 rows are category"):
        run(tmp_path, room, prompts=[prompt(0)], explanations=mixed)


def test_an_explanation_is_never_category_wording(tmp_path: Path, room: Room) -> None:
    with pytest.raises(DataError, match=r"'templates'\n(.*\n)*.*1 of 2 rows are prompt-specific"):
        run(tmp_path, room, prompts=[prompt(0)], templates=[wording(0), explanation(1)])


def test_translated_wording_stays_wording(tmp_path: Path, room: Room) -> None:
    local = wording(0, "ast_Latn", translator="apertium 3", translation_of="x")
    with pytest.raises(DataError, match="give them as input 'templates'"):
        run(tmp_path, room, prompts=[prompt(0)], explanations=[local])


def test_rows_without_a_split_are_an_error(tmp_path: Path, room: Room) -> None:
    with pytest.raises(DataError, match=r"put curation\.split before"):
        run(tmp_path, room, prompts=[prompt(0, split=None)])


def test_only_prompts_are_needed(tmp_path: Path, room: Room) -> None:
    result = run(tmp_path, room, require=False, prompts=[prompt(0), prompt(0, "unharmful")])
    assert result.rows.height == 2
    assert result.rows["think"].to_list() == [None, None]


def test_replies_of_the_right_kind_are_joined(tmp_path: Path, room: Room) -> None:
    replies = [reply(0, "I cannot."), reply(0, "Nun puedo.", language="ast_Latn"),
               reply(0, "At nine.", "helpful", generator="m"),
               reply(1, "Here it is.", "helpful") | {"prompt_id": "made:001-h:eng_Latn"},
               reply(9, "I cannot.")]  # fmt: skip
    prompts = [prompt(0), prompt(0, language="ast_Latn"), prompt(0, "unharmful"), prompt(1)]
    config = ExamplesConfig(languages=BOTH, require_explanation=False)
    given = with_replies(tmp_path, replies, prompts=prompts)
    result = EXAMPLES.run(given, config, Runtime(), room)
    assert result.rows["reply"].to_list() == ["I cannot.", "Nun puedo.", "At nine.", None]
    assert result.rows["reply_generator"].to_list() == ["made", "made", "m", None]


def test_the_best_of_several_traces_is_taken(tmp_path: Path, room: Room) -> None:
    traces = [trace(0, sample=0, think="less sure", logprob=-2.0),
              trace(0, sample=1, think="surest", logprob=-0.1)]  # fmt: skip
    result = run(tmp_path, room, require=False, prompts=[prompt(0)], traces=traces)
    assert result.rows["think"].to_list() == ["surest"]


def test_reasoning_towards_another_verdict_is_not_joined(tmp_path: Path, room: Room) -> None:
    wrong = trace(0, verdict="unharmful", violations=[], think="so it is fine")
    prompts = [prompt(0), prompt(1), prompt(0, "unharmful")]
    traces = [wrong, trace(1, sample=1, verdict="unharmful", violations=[], think="fine too"),
              trace(1, sample=2, think="right"), trace(9)]  # fmt: skip
    result = run(tmp_path, room, require=False, prompts=prompts, traces=traces)
    assert result.rows["think"].to_list() == [None, "right", None]


def test_category_wording_is_no_trace(tmp_path: Path, room: Room) -> None:
    traces = [trace(0), trace(1, generator="template")]
    with pytest.raises(DataError, match=r"'traces'\n(.*\n)*.*1 of 2 rows are category wording"):
        run(tmp_path, room, require=False, prompts=[prompt(0)], traces=traces)


def test_rows_without_an_accepted_trace_may_be_dropped(tmp_path: Path, room: Room) -> None:
    prompts = [prompt(0), prompt(0, language="ast_Latn"), prompt(1), prompt(0, "unharmful")]
    config = ExamplesConfig(languages=BOTH, require_explanation=False, require_think=True)
    given = inputs(tmp_path, prompts=prompts, traces=[trace(0)])
    result = EXAMPLES.run(given, config, Runtime(), room)
    assert result.rows["example_id"].to_list() == ["made:000-h:eng_Latn", "made:000-h:ast_Latn"]
    assert counted(result.drops) == {"no_trace": 2}
    assert not ExamplesConfig(languages=BOTH).require_think
