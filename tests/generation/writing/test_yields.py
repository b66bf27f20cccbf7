"""Yields as markdown, from notes and from a real workspace."""

import subprocess
import sys
from pathlib import Path

from tests.generation.making import explanation, inputs, prompt, stored

from whyguard.core.artefact import ArtefactDraft, Counts, InputUse
from whyguard.core.provenance import collect_provenance
from whyguard.core.schemas import Explanation
from whyguard.core.steps import Room, Runtime
from whyguard.generation.writing.filters import FILTER_EXPLANATIONS, ExplanationLimits
from whyguard.generation.writing.yields import (
    HEAD,
    StepYield,
    prompts_table,
    reasons_table,
    yield_table,
)

ROOT = Path(__file__).parents[3]
NOTES = {
    "yield": {"length": {"eng_Latn": {"in": 4, "out": 3, "unmeasured": 0},
                         "spa_Latn": {"in": 0, "out": 0, "unmeasured": 0}},
              "language": {"eng_Latn": {"in": 3, "out": 3, "unmeasured": 2}}},
    "prompts": {"harmful": {"in": 3, "out": 1}, "unharmful": {"in": 0, "out": 0}},
}  # fmt: skip


def test_a_line_for_each_filter_and_language_that_rows_came_to() -> None:
    lines = yield_table([StepYield("filter_x", NOTES), StepYield("other", {})]).split("\n")
    assert "\n".join(lines[:2]) == HEAD
    assert lines[2:] == [
        "| filter_x | length | eng_Latn | 4 | 3 | 75% | 0 |",
        "| filter_x | language | eng_Latn | 3 | 3 | 100% | 2 |",
    ]
    assert {line.count("|") for line in lines} == {8}


def test_prompts_by_label() -> None:
    lines = prompts_table([StepYield("filter_x", NOTES)]).split("\n")
    assert lines[2:] == [
        "| filter_x | harmful | 3 | 1 | 33% |",
        "| filter_x | unharmful | 0 | 0 | - |",
    ]


def test_nothing_to_show() -> None:
    assert yield_table([]) == yield_table([StepYield("x", {"yield": {}})]) == ""
    assert prompts_table([StepYield("x", {})]) == ""


def test_reasons_are_counted_and_the_commonest_shown() -> None:
    drops = [("length", "3 words")] * 3 + [("length", "2 words"), ("echo", "a|b")]
    assert reasons_table("s", drops, most=1).split("\n") == [
        "| s | echo | a/b | 1 |", "| s | length | 3 words | 3 |"
    ]  # fmt: skip


def test_the_tool_reads_a_workspace(tmp_path: Path, room: Room) -> None:
    given = inputs(tmp_path / "in", explanations=[explanation(0), explanation(1, text="SECRET")],
                   prompts=[prompt(0), prompt(1)])  # fmt: skip
    result = FILTER_EXPLANATIONS.run(
        given, ExplanationLimits(check_language=False), Runtime(), room
    )
    store = tmp_path / "ws" / "store" / FILTER_EXPLANATIONS.name
    store.mkdir(parents=True)
    made_from = InputUse(step="generation.explain", key="def" * 4, content_sha256="0")
    for name, used in (("abc", {"explanations": (made_from,)}), ("xyz", {})):
        facts = {"step": FILTER_EXPLANATIONS.name, "step_version": "3", "key": name * 4,
                 "counts": Counts(kept=result.rows.height, dropped={"length": 1}), "config": {},
                 "inputs": used, "notes": result.notes,
                 "provenance": collect_provenance()}  # fmt: skip
        ArtefactDraft(store / name).commit(Explanation, result.rows, result.drops, facts)
    stored(tmp_path / "ws" / "store" / "other", Explanation, [])
    tool = [sys.executable, str(ROOT / "tools/yield_table.py"), "--reasons"]
    done = subprocess.run([*tool, str(tmp_path / "ws")], capture_output=True, text=True, check=True)
    assert "| filter_explanations abcabcab | explanations: explain defdefde |" in done.stdout
    assert "| filter_explanations xyzxyzxy | - |" in done.stdout
    for key in ("abcabcab", "xyzxyzxy"):
        line = f"| filter_explanations {key} | length |"
        assert f"{line} eng_Latn | 2 | 1 | 50% | 0 |" in done.stdout
        assert f"{line} 1 words, allowed 5-120 | 1 |" in done.stdout
    assert "SECRET" not in done.stdout
    nothing = subprocess.run([*tool, str(tmp_path / "no")], capture_output=True, text=True)
    assert nothing.returncode == 2 and "no results" in nothing.stderr
