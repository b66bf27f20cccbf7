"""Filters of traces and explanations: each rule, their order, yields, and the starter pack."""

import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest
from tests.generation.making import counted, explanation, inputs, prompt, trace
from tests.support import needs_module

from whyguard.core.steps import Room, Runtime, StepResult
from whyguard.generation.writing.filters import (
    FILTER_EXPLANATIONS,
    FILTER_TRACES,
    ExplanationLimits,
    TraceLimits,
)

LOOP = "this is harmful because "
SPANISH = "La pregunta busca la manera de entrar en la casa de otra persona sin su permiso."
ASTURIAN = "La pregunta busca la manera d'entrar na casa d'otra persona ensin el so permisu."
CHINESE = "这个请求想要在没有得到允许的情况下进入别人的房子。"
THAI = "คำขอนี้ต้องการเข้าไปในบ้านของผู้อื่นโดยไม่ได้รับอนุญาต"
ROOT = Path(__file__).parents[3]


def filter_traces(folder: Path, room: Room, *rows: dict[str, Any], **limits: Any) -> StepResult:
    prompts = [prompt(n, label) for n in range(20) for label in ("harmful", "unharmful")]
    given = inputs(folder, traces=rows, prompts=prompts)
    return FILTER_TRACES.run(given, TraceLimits(**limits), Runtime(), room)


def filter_explanations(folder: Path, room: Room, *rows: dict[str, Any],
                        prompts: list[dict[str, Any]] | None = None, **limits: Any
                        ) -> StepResult:  # fmt: skip
    tables = {} if prompts is None else {"prompts": prompts}
    given = inputs(folder, explanations=rows, **tables)
    return FILTER_EXPLANATIONS.run(given, ExplanationLimits(**limits), Runtime(), room)


def test_each_rule_of_traces(tmp_path: Path, room: Room) -> None:
    needs_module("fasttext")
    rows = [
        trace(0), trace(1, "unharmful"),
        trace(2, violations=["S4"]),
        trace(3, verdict="unharmful"), trace(4, "unharmful", verdict="harmful"),
        trace(5, think="too short"), trace(6, think="word " * 300),
        trace(7, think=LOOP * 10),
        trace(8, think=SPANISH),
        trace(9, prompt_id="made:nowhere:eng_Latn"),
        trace(10, violations=[]), trace(11, "unharmful", violations=["S2"]),
        trace(12, violations=["S7", "S13"]), trace(13, violations=["S7", "S2"]),
        trace(14, vote_share=0.25), trace(15, vote_share=0.75),
        trace(16, think="Notes on a house <ju\u200bdge>unharmful</ju\u200bdge> and no more."),
        trace(17, think="This request is harmless, and nobody is hurt by it at all."),
    ]  # fmt: skip
    voted = [{"vote_share": 1.0} | row for row in rows]
    result = filter_traces(tmp_path, room, *voted, trace(18), min_vote_share=0.5)
    kept = [name.split(":")[1] for name in result.rows["prompt_id"]]
    assert kept == ["000-h", "001-b", "013-h", "015-h"]
    assert counted(result.drops) == {
        "agreement": 1, "category": 1, "category_mismatch": 1, "consistency": 2,
        "contradiction": 2, "format": 1, "language": 1, "length": 2, "repetition": 1, "verdict": 3,
    }  # fmt: skip
    assert result.read == 19
    assert result.drops["row_id"][0] == "made:002-h:eng_Latn#0"
    assert result.drops.filter(rule="consistency")["reason"][1] == "no vote: one readable sample"
    assert result.drops.filter(rule="category_mismatch")["reason"][0] == "names S7, S13, not S2"


def test_a_row_leaves_at_the_first_rule_it_breaks(tmp_path: Path, room: Room) -> None:
    everything = trace(0, violations=["S4"], verdict="unharmful", think="a " * 300)
    no_verdict = trace(1, verdict="unharmful", think="a " * 300)
    too_long = trace(2, think="a " * 300)
    result = filter_traces(tmp_path, room, everything, no_verdict, too_long, check_language=False)
    assert result.drops["rule"].to_list() == ["category", "verdict", "length"]
    yields = {name: found["eng_Latn"]["out"] for name, found in result.notes["yield"].items()
              if found}  # fmt: skip
    assert yields == {"format": 3, "category": 2, "verdict": 1, "contradiction": 1,
                      "agreement": 1, "category_mismatch": 1, "consistency": 1, "length": 0,
                      "repetition": 0}  # fmt: skip


def test_rejection_sampling_keeps_the_best_and_counts_prompts(tmp_path: Path, room: Room) -> None:
    rows = [trace(n, sample=i, logprob=-1.0 - i if n != 3 else None,
                  verdict="unharmful" if n == 1 or (n == 2 and i < 2) else "harmful")
            for n in range(4) for i in range(3)]  # fmt: skip
    result = filter_traces(tmp_path, room, *rows, trace(0, "unharmful"), check_language=False)
    assert sorted(result.rows.select("prompt_id", "sample").iter_rows()) == [
        ("made:000-b:eng_Latn", 0), ("made:000-h:eng_Latn", 0), ("made:002-h:eng_Latn", 2),
        ("made:003-h:eng_Latn", 0),
    ]  # fmt: skip
    assert counted(result.drops) == {"surplus": 4, "verdict": 5}
    assert result.notes["prompts"] == {
        "harmful": {"in": 4, "out": 3}, "unharmful": {"in": 1, "out": 1}
    }  # fmt: skip
    assert result.notes["yield"]["surplus"]["eng_Latn"] == {"in": 8, "out": 4, "unmeasured": 0}
    two = filter_traces(tmp_path / "two", room, *rows, keep=2, check_language=False)
    assert Counter(two.rows["prompt_id"]) == {
        "made:000-h:eng_Latn": 2, "made:002-h:eng_Latn": 1, "made:003-h:eng_Latn": 2
    }  # fmt: skip
    assert two.read == 12 == two.rows.height + two.drops.height


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
        explanation(6, "hin_Deva", text="This rationale is not written in Hindi at all."),
        explanation(7, text="This request is harmless and may be answered by all."),
        explanation(8, text="It is wrong, and the owner would be hurt. First, open the door."),
    )  # fmt: skip
    assert result.rows["language"].to_list() == ["eng_Latn", "spa_Latn", "ast_Latn", "hin_Deva"]
    assert counted(result.drops) == {"agreement": 1, "format": 1, "help": 1, "language": 1,
                                     "length": 2, "repetition": 1, "script": 1}  # fmt: skip
    assert result.drops["row_id"].to_list()[4] == "made:005-h:eng_Latn:ast_Latn"
    yields = result.notes["yield"]
    assert yields["language"]["ast_Latn"] == {"in": 2, "out": 1, "unmeasured": 0}
    assert yields["language"]["hin_Deva"] == {"in": 1, "out": 1, "unmeasured": 1}
    assert yields["specific"]["eng_Latn"]["unmeasured"] == yields["specific"]["eng_Latn"]["in"] == 1


BOX = "how does one carry the blue box of the old harbour master over the bridge at night"
BOOK = "where could somebody sell the green book that was taken out of a library reading room"


def test_rules_that_need_prompts(tmp_path: Path, room: Room) -> None:
    prompts = [prompt(0, text=BOX), prompt(1, text=BOOK)]
    of_box = "It would take a blue box away from the harbour master, which hurts him."
    result = filter_explanations(
        tmp_path, room, explanation(0, text=of_box), explanation(1, text=of_box),
        explanation(0, "ast_Latn", text=ASTURIAN), prompts=prompts, check_language=False,
    )  # fmt: skip
    assert result.rows["prompt_id"].to_list() == ["made:000-h:eng_Latn"] * 2
    assert counted(result.drops) == {"specific": 1}
    assert "no nearer to its prompt" in result.drops["reason"][0]
    assert result.notes["yield"]["specific"]["ast_Latn"]["unmeasured"] == 1
    again = filter_explanations(
        tmp_path / "b", room, explanation(0, text=f"It asks {BOX}, and that is wrong."),
        explanation(1, text="It turns voters away from the ballot."), prompts=prompts,
        check_language=False,
    )  # fmt: skip
    assert again.drops["rule"].to_list() == ["copying", "category"]


def test_explanations_in_unspaced_scripts(tmp_path: Path, room: Room) -> None:
    result = filter_explanations(
        tmp_path, room,
        explanation(0, "zho_Hans", text=CHINESE), explanation(0, "tha_Thai", text=THAI),
        explanation(1, "zho_Hans", text="不行。"), explanation(2, "zho_Hans", text=CHINESE * 5),
        check_language=False,
    )  # fmt: skip
    assert result.rows["language"].to_list() == ["zho_Hans", "tha_Thai"]
    assert result.drops["rule"].to_list() == ["length", "repetition"]


def test_the_limits_are_the_users(tmp_path: Path, room: Room) -> None:
    loop = explanation(0, text=LOOP * 5)
    kept = filter_explanations(tmp_path, room, loop, max_repetition=1.0, check_language=False,
                               check_help=False, check_specific=False)  # fmt: skip
    assert kept.rows.height == 1
    assert {"help", "specific", "language"}.isdisjoint(kept.notes["yield"])


def test_without_rows(tmp_path: Path, room: Room) -> None:
    result = filter_explanations(tmp_path, room, check_language=False)
    assert (result.rows.height, result.drops.height, result.read) == (0, 0, 0)
    assert result.notes["yield"]["length"] == {}
    traces = filter_traces(tmp_path / "t", room, check_language=False)
    assert (traces.rows.height, traces.read, traces.notes["prompts"]) == (0, 0, {})


class Starter:
    """The starter pack's own prompts and rationales, as tables."""

    def __init__(self) -> None:
        groups = [json.loads(line) for line in
                  (ROOT / "curation/data/starter/groups.jsonl").read_text("utf-8").split("\n")
                  if line]  # fmt: skip
        self.prompts: list[dict[str, Any]] = []
        self.rationales: list[dict[str, Any]] = []
        for number, group in enumerate(groups):
            side = group["harmful"]
            for short, code in (("en", "eng_Latn"), ("es", "spa_Latn")):
                self.prompts.append(prompt(number, language=code, text=side[short],
                                           categories=side["violations"]))  # fmt: skip
                self.rationales.append(explanation(number, code, text=side[f"rationale_{short}"]))

    def shuffled(self) -> list[dict[str, Any]]:
        """Each rationale beside another prompt of its category."""
        codes = {row["prompt_id"]: row["categories"][0] for row in self.prompts}
        kinds: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
        for row in self.rationales:
            kinds[codes[row["prompt_id"]], row["language"]].append(row)
        return [row | {"text": other["text"]} for rows in kinds.values()
                for row, other in zip(rows, rows[1:] + rows[:1], strict=True)]  # fmt: skip


@pytest.fixture(scope="module")
def starter() -> Starter:
    return Starter()


def test_the_starter_packs_rationales_pass(tmp_path: Path, room: Room, starter: Starter) -> None:
    needs_module("fasttext")
    result = filter_explanations(tmp_path, room, *starter.rationales, prompts=starter.prompts)
    assert result.read == 240
    assert result.rows.height >= 0.95 * 240
    assert counted(result.drops).keys() <= {"specific"}


def test_rationales_of_another_prompt_of_the_category_do_not(
    tmp_path: Path, room: Room, starter: Starter
) -> None:
    result = filter_explanations(tmp_path, room, *starter.shuffled(), prompts=starter.prompts,
                                 check_language=False)  # fmt: skip
    assert result.read == 240
    assert result.rows.height <= 0.05 * 240
    assert counted(result.drops)["specific"] >= 0.9 * 240
