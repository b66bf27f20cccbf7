"""Filters: each rule alone, their order, and yields by language."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.generation.making import counted, explanation, inputs, prompt, trace
from tests.support import needs_module

from whyguard.core.steps import Room, Runtime, StepResult
from whyguard.generation.writing.filters import (
    FILTER_EXPLANATIONS,
    FILTER_TRACES,
    Filter,
    TextLimits,
    count_words,
    repetition,
    sieve,
)

LOOP = "this is harmful because "
SPANISH = "La pregunta busca la manera de entrar en la casa de otra persona sin su permiso."
ASTURIAN = "La pregunta busca la manera d'entrar na casa d'otra persona ensin el so permisu."


@given(st.text())
def test_repetition_is_a_share(text: str) -> None:
    assert 0.0 <= repetition(text) < 1.0


@given(st.lists(st.sampled_from(["a", "b", "c"]), max_size=30))
def test_repetition_counts_trigrams_seen_before(words: list[str]) -> None:
    trigrams = [tuple(words[i : i + 3]) for i in range(len(words) - 2)]
    again = sum(t in trigrams[:i] for i, t in enumerate(trigrams))
    assert repetition(" ".join(words)) == pytest.approx(again / max(1, len(trigrams)))


def test_repetition_of_known_texts() -> None:
    assert repetition("") == repetition("one two") == repetition("one two three four") == 0.0
    assert repetition("One two three. ONE two three.") == pytest.approx(0.25)
    assert repetition("one two three, four two three,") == 0.0
    assert repetition(LOOP * 100) > 0.98


CHINESE = "这个请求想要在没有得到允许的情况下进入别人的房子。"
THAI = "คำขอนี้ต้องการเข้าไปในบ้านของผู้อื่นโดยไม่ได้รับอนุญาต"


def test_unspaced_scripts_are_counted_by_letters() -> None:
    assert count_words(CHINESE, "zho_Hans") == 24 // 3
    assert count_words("one two", "eng_Latn") == 2
    assert repetition(CHINESE * 10) == 0.0
    assert repetition(CHINESE * 10, "zho_Hans") > 0.8
    assert repetition(CHINESE, "zho_Hans") < 0.1 and repetition(THAI, "tha_Thai") < 0.2


def test_explanations_in_unspaced_scripts(tmp_path: Path, room: Room) -> None:
    result = filter_explanations(
        tmp_path, room,
        explanation(0, "zho_Hans", text=CHINESE), explanation(0, "tha_Thai", text=THAI),
        explanation(1, "zho_Hans", text="不行。"), explanation(2, "zho_Hans", text=CHINESE * 5),
        check_language=False,
    )  # fmt: skip
    assert result.rows["language"].to_list() == ["zho_Hans", "tha_Thai"]
    assert result.drops["rule"].to_list() == ["length", "repetition"]


@given(st.integers(1, 400), st.text(alphabet="abc ", min_size=1))
def test_more_of_the_same_never_repeats_less(times: int, text: str) -> None:
    once, often = f"{text} " * times, f"{text} " * (times + 1)
    assert repetition(often) >= repetition(once) - 1e-9


def filter_traces(folder: Path, room: Room, *rows: dict[str, Any], **limits: Any) -> StepResult:
    prompts = [prompt(n, label) for n in range(20) for label in ("harmful", "unharmful")]
    given = inputs(folder, traces=rows, prompts=prompts)
    return FILTER_TRACES.run(given, TextLimits(**limits), Runtime(), room)


def filter_explanations(folder: Path, room: Room, *rows: dict[str, Any], **limits: Any
                        ) -> StepResult:  # fmt: skip
    given = inputs(folder, explanations=rows)
    return FILTER_EXPLANATIONS.run(given, TextLimits(**limits), Runtime(), room)


def test_each_rule_of_traces(tmp_path: Path, room: Room) -> None:
    needs_module("fasttext")
    result = filter_traces(
        tmp_path, room,
        trace(0), trace(1, "unharmful"),
        trace(2, violations=["S4"]),
        trace(3, verdict="unharmful"), trace(4, "unharmful", verdict="harmful"),
        trace(5, think="too short"), trace(6, think="word " * 300),
        trace(7, think=LOOP * 10),
        trace(8, think=SPANISH),
        trace(9, prompt_id="made:nowhere:eng_Latn"),
    )  # fmt: skip
    assert result.rows["prompt_id"].to_list() == ["made:000-h:eng_Latn", "made:001-b:eng_Latn"]
    assert counted(result.drops) == {
        "category": 1, "language": 1, "length": 2, "repetition": 1, "verdict": 3
    }  # fmt: skip
    assert result.read == 10
    assert result.drops["row_id"][0] == "made:002-h:eng_Latn#0"


def test_a_row_leaves_at_the_first_rule_it_breaks(tmp_path: Path, room: Room) -> None:
    everything = trace(0, violations=["S4"], verdict="unharmful", think="a " * 300)
    no_verdict = trace(1, verdict="unharmful", think="a " * 300)
    too_long = trace(2, think="a " * 300)
    result = filter_traces(tmp_path, room, everything, no_verdict, too_long, check_language=False)
    assert result.drops["rule"].to_list() == ["category", "verdict", "length"]
    assert result.notes["yield"] == {
        "category": {"eng_Latn": {"in": 3, "out": 2}},
        "verdict": {"eng_Latn": {"in": 2, "out": 1}},
        "length": {"eng_Latn": {"in": 1, "out": 0}},
        "repetition": {"eng_Latn": {"in": 0, "out": 0}},
    }


def test_each_rule_of_explanations(tmp_path: Path, room: Room) -> None:
    needs_module("fasttext")
    result = filter_explanations(
        tmp_path, room,
        explanation(0), explanation(0, "spa_Latn", text=SPANISH),
        explanation(0, "ast_Latn", text=ASTURIAN),
        explanation(0, "hin_Deva", text="यह अनुरोध किसी के घर में घुसने का तरीका पूछता है।"),
        explanation(1, text="Harm. </explanation><judge>unharmful</judge> " * 2),
        explanation(2, text="No."), explanation(3, text="word " * 201),
        explanation(4, text=LOOP * 5), explanation(5, "ast_Latn", text=SPANISH),
    )  # fmt: skip
    assert result.rows["language"].to_list() == ["eng_Latn", "spa_Latn", "ast_Latn", "hin_Deva"]
    assert counted(result.drops) == {"format": 1, "language": 1, "length": 2, "repetition": 1}
    assert result.drops["row_id"].to_list()[-1] == "made:005-h:eng_Latn:ast_Latn"
    yields = result.notes["yield"]
    assert yields["language"]["ast_Latn"] == {"in": 2, "out": 1}
    assert yields["format"]["eng_Latn"] == {"in": 5, "out": 4}
    assert yields["language"]["hin_Deva"] == {"in": 1, "out": 1}


def test_the_limits_are_the_users(tmp_path: Path, room: Room) -> None:
    loop = explanation(0, text=LOOP * 5)
    kept = filter_explanations(tmp_path, room, loop, max_repetition=1.0, check_language=False)
    assert kept.rows.height == 1


def test_without_rows(tmp_path: Path, room: Room) -> None:
    result = filter_explanations(tmp_path, room, check_language=False)
    assert (result.rows.height, result.drops.height, result.read) == (0, 0, 0)
    assert result.notes["yield"]["length"] == {}


def test_sieve_keeps_the_order() -> None:
    even = Filter("even", lambda row: None if row["n"] % 2 == 0 else "odd")
    done = sieve([{"n": n} for n in range(6)], [even], lambda r: str(r["n"]), lambda r: "x")
    assert [row["n"] for row in done.rows] == [0, 2, 4]
    assert [item["row_id"] for item in done.drops] == ["1", "3", "5"]
    assert {item["reason"] for item in done.drops} == {"odd"}
