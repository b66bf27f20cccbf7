"""The steps over stored rows: signals are added, nothing else is touched."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from tests.generation.making import explanation, inputs, prompt
from tests.support import needs

from whyguard.core.steps import Room
from whyguard.generation.signals.names import Signal
from whyguard.generation.signals.step import (
    EXPLANATIONS,
    PROMPTS,
    ExplanationSignalsConfig,
    SignalsConfig,
    estimate_prompts,
    extend,
    is_light,
)
from whyguard.generation.teachers.base import TeacherRuntime

RUNTIME = TeacherRuntime(device="cpu", threads=1)
OLD = [{"name": "unknown_word_share", "value": 0.25}, {"name": "length_ratio", "value": 9.0}]
SPANISH = [prompt(n, language="spa_Latn", text=f"La casa número {n} de mi abuela es muy vieja.")
           for n in range(3)]  # fmt: skip
GALICIAN = [
    prompt(n, language="glg_Latn", text=f"A casa número {n} da miña avoa é moi vella.",
           translation_of=f"made:{n:03d}-h:spa_Latn", translator="made", signals=OLD)
    for n in range(3)
]  # fmt: skip
LOST = prompt(9, language="glg_Latn", text="A casa da miña avoa é vella.",
              translation_of="made:009-h:spa_Latn", translator="made")  # fmt: skip
ENGLISH = [prompt(n) for n in range(3)]


def signals(row: dict[str, Any]) -> dict[str, float | None]:
    return {item["name"]: item["value"] for item in row["signals"]}


def test_prompts(tmp_path: Path, room: Room) -> None:
    needs("apertium")
    rows = [*ENGLISH, *SPANISH, *GALICIAN, LOST]
    given = inputs(tmp_path, prompts=rows)
    config = SignalsConfig.model_validate({"back": [{"kind": "apertium"}]})
    result = PROMPTS.run(given, config, RUNTIME, room)
    assert (result.read, result.rows.height, result.drops.height) == (10, 10, 0)
    before, after = given["prompts"].rows, result.rows
    assert after.drop("signals").equals(before.drop("signals"))
    assert after.head(6).equals(before.head(6)), "rows that are no translations pass through"
    found = signals(after.to_dicts()[6])
    assert found["unknown_word_share"] == 0.25
    assert found["length_ratio"] != 9.0
    assert found["numbers_kept"] == 1.0
    assert found["round_trip_chrf"] is not None and found["round_trip_chrf"] > 50
    assert found["harm_agreement"] is None
    assert "prompt_repeated" not in found
    lost = signals(after.to_dicts()[9])
    assert lost["numbers_kept"] is None and lost["round_trip_chrf"] is None
    assert lost["script_purity"] == 1.0
    assert result.notes["localised_rows"] == 4
    assert result.notes["coverage"]["round_trip_chrf"] == {"glg_Latn": {"measured": 3, "null": 1}}
    assert "no_way_back" not in result.notes


def test_without_a_way_back(tmp_path: Path, room: Room) -> None:
    config = SignalsConfig(signals=(Signal.ROUND_TRIP_CHRF, Signal.SCRIPT_PURITY))
    result = PROMPTS.run(inputs(tmp_path, prompts=[*SPANISH, *GALICIAN]), config, RUNTIME, room)
    found = signals(result.rows.to_dicts()[3])
    assert found == {"unknown_word_share": 0.25, "length_ratio": 9.0, "script_purity": 1.0,
                     "round_trip_chrf": None}  # fmt: skip
    assert result.notes["no_way_back"] == {"glg_Latn -> spa_Latn": "no backend"}


def test_harm_preservation_by_a_guard(llama: Path, tmp_path: Path, room: Room) -> None:
    config = SignalsConfig.model_validate({
        "signals": ["harm_shift", "harm_agreement"],
        "judge": {"model": f"path:{llama}", "languages": ["glg_Latn", "spa_Latn"]},
    })  # fmt: skip
    result = PROMPTS.run(inputs(tmp_path, prompts=[*SPANISH, *GALICIAN]), config, RUNTIME, room)
    found = signals(result.rows.to_dicts()[4])
    assert found["harm_agreement"] is not None and 0.0 < found["harm_agreement"] < 1.0
    assert found["harm_shift"] is not None and found["harm_shift"] != 0.0
    assert [use.role for use in result.models] == ["judge"]


def test_nothing_localised(tmp_path: Path, room: Room) -> None:
    result = PROMPTS.run(inputs(tmp_path, prompts=ENGLISH), SignalsConfig(), RUNTIME, room)
    assert result.rows.equals(inputs(tmp_path / "b", prompts=ENGLISH)["prompts"].rows)
    assert result.notes["localised_rows"] == 0


SPANISH_WHY = explanation(0, "spa_Latn", text="La casa es de otra persona y no se puede entrar.")
GALICIAN_WHY = explanation(0, "glg_Latn", text="A casa é doutra persoa e non se pode entrar.",
                           translation_of="made:000-h:eng_Latn:spa_Latn",
                           translator="made")  # fmt: skip


def test_explanations(tmp_path: Path, room: Room) -> None:
    own = explanation(1, "glg_Latn", text=GALICIAN[1]["text"])
    rows = [explanation(0), SPANISH_WHY, GALICIAN_WHY, own]
    given = inputs(tmp_path, explanations=rows, prompts=[*ENGLISH, *GALICIAN])
    result = EXPLANATIONS.run(given, ExplanationSignalsConfig(), RUNTIME, room)
    assert (result.read, result.rows.height) == (4, 4)
    english, spanish, galician, written = [signals(row) for row in result.rows.to_dicts()]
    assert english == {}
    assert spanish["script_purity"] == 1.0 and spanish["length_ratio"] is None
    assert galician["length_ratio"] is not None and galician["negation_shift"] == 0.0
    assert galician["prompt_repeated"] == 0.0 and written["prompt_repeated"] == 1.0
    assert "harm_shift" not in galician
    without = inputs(tmp_path / "b", explanations=rows)
    again = EXPLANATIONS.run(without, ExplanationSignalsConfig(), RUNTIME, room)
    assert signals(again.rows.to_dicts()[3])["prompt_repeated"] is None


def test_a_null_never_takes_the_place_of_a_value() -> None:
    assert extend(OLD, {"length_ratio": None, "numbers_kept": None}) == [
        *OLD, {"name": "numbers_kept", "value": None}
    ]  # fmt: skip
    assert extend(OLD, {"length_ratio": 1.0})[-1] == {"name": "length_ratio", "value": 1.0}
    assert extend([{"name": "a", "value": None}], {"a": None}) == [{"name": "a", "value": None}]


def test_no_count_of_violations_takes_the_place_of_its_null(tmp_path: Path, room: Room) -> None:
    """The shipped pack locks terms, but none of this source."""
    null = [{"name": "glossary_violations", "value": None}]
    rows = [SPANISH[0], GALICIAN[0] | {"signals": null}]
    config = SignalsConfig(signals=(Signal.GLOSSARY_VIOLATIONS,))
    result = PROMPTS.run(inputs(tmp_path, prompts=rows), config, RUNTIME, room)
    assert signals(result.rows.to_dicts()[1]) == {"glossary_violations": None}
    coverage = result.notes["coverage"]["glossary_violations"]
    assert coverage == {"glg_Latn": {"measured": 0, "null": 1}}


def test_the_order_of_signals_changes_nothing() -> None:
    one = SignalsConfig.model_validate({"signals": ["numbers_kept", "copied_share"]})
    two = SignalsConfig.model_validate({"signals": ["copied_share", "numbers_kept"]})
    assert one == two


def test_plan_counts_verdicts_of_a_teacher(tmp_path: Path, llama: Path) -> None:
    judge = {"teacher": {"kind": "transformers", "model": f"path:{llama}"},
             "languages": ["spa_Latn"]}  # fmt: skip
    given = inputs(tmp_path, prompts=[*ENGLISH, *SPANISH, *GALICIAN, LOST])
    config = SignalsConfig.model_validate({"judge": judge})
    found = estimate_prompts(given, config, RUNTIME, tmp_path / "ledger")
    assert found.calls + found.cached == 3 + 4
    plain = estimate_prompts(given, SignalsConfig(), RUNTIME, tmp_path / "ledger")
    assert (plain.calls, plain.prompt_tokens) == (0, 0)


@pytest.mark.parametrize(("config", "light"), [
    ({}, True),
    ({"back": [{"kind": "apertium"}]}, True),
    ({"back": [{"kind": "seq2seq", "model": "hf:a/b", "family": "nllb"}]}, False),
    ({"judge": {"model": "hf:a/b"}}, False),
])  # fmt: skip
def test_light(config: dict[str, Any], light: bool) -> None:
    assert is_light(SignalsConfig.model_validate(config)) is light


@pytest.mark.parametrize(("schema", "config", "match"), [
    (SignalsConfig, {"signals": ["prompt_repeated"]}, "no signal of this step: prompt_repeated"),
    (SignalsConfig, {"signals": []}, "at least 1 item"),
    (SignalsConfig, {"signals": ["speed"]}, "Input should be"),
    (SignalsConfig, {"signals": ["copied_share"], "judge": {"model": "hf:a/b"}}, "harm_agreement"),
    (SignalsConfig, {"back": [{"kind": "apertium"}, {"kind": "memory", "file": "m.jsonl"}]},
     "an engine as way back, no memory"),
    (ExplanationSignalsConfig, {"back": [{"kind": "memory", "file": "m.jsonl"}]},
     "an engine as way back, no memory"),
    (ExplanationSignalsConfig, {"signals": ["harm_shift"]}, "no signal of this step: harm_shift"),
    (ExplanationSignalsConfig, {"judge": {"model": "hf:a/b"}}, "Extra inputs"),
])  # fmt: skip
def test_bad_configs(schema: Any, config: dict[str, Any], match: str) -> None:
    with pytest.raises(ValidationError, match=match):
        schema.model_validate(config)


def test_results_repeat(tmp_path: Path, room: Room) -> None:
    config = SignalsConfig()
    rows = [*SPANISH, *GALICIAN]
    one = PROMPTS.run(inputs(tmp_path / "a", prompts=rows), config, RUNTIME, room)
    two = PROMPTS.run(inputs(tmp_path / "b", prompts=rows), config, RUNTIME, room)
    assert json.dumps(one.rows.to_dicts()) == json.dumps(two.rows.to_dicts())
