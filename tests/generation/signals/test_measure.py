"""All signals of a batch together: what is not there is null, and only what is wanted is run."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.generation.making import prompt
from tests.support import needs

from whyguard.core.artefact import ModelUse
from whyguard.core.steps import Room
from whyguard.generation.signals.harm import Judged
from whyguard.generation.signals.measure import Pair, Tools, coverage, measure
from whyguard.generation.signals.names import Signal
from whyguard.generation.teachers.base import TeacherRuntime
from whyguard.generation.translation.backends import BackendConfig, open_backends

SOURCE = prompt(1, language="spa_Latn", text="La casa de mi abuela es muy vieja y tiene 3 puertas.")
GOOD = prompt(1, language="glg_Latn", text="A casa da miña avoa é moi vella e ten 3 portas.")
HARM = (Signal.HARM_AGREEMENT, Signal.HARM_SHIFT)


class LongIsHarmful:
    """A judge that can be foretold: P(harmful) is the text's length over 100."""

    use: ModelUse | None = None

    def __init__(self) -> None:
        self.seen: list[Judged] = []

    def harmful(self, texts: Sequence[Judged]) -> list[float | None]:
        self.seen += texts
        return [min(1.0, len(item.text) / 100) for item in texts]


def only(found: dict[Signal, list[float | None]]) -> dict[str, float | None]:
    return {name.value: column[0] for name, column in found.items()}


def test_every_wanted_signal_has_a_value_or_null(room: Room) -> None:
    needs("apertium")
    back = open_backends([BackendConfig(kind="apertium")], room, TeacherRuntime())
    found = measure([Pair(GOOD, SOURCE)], tuple(Signal), Tools(backends=back))
    values = only(found.values)
    assert list(values) == [signal.value for signal in Signal]
    assert values["language_confidence"] is not None and values["language_confidence"] > 0.9
    assert values["script_purity"] == 1.0
    assert values["numbers_kept"] == 1.0
    assert values["negation_shift"] == 0.0
    assert values["copied_share"] == 0.0
    assert values["round_trip_overlap"] is not None and values["round_trip_overlap"] > 0.6
    nulls = {name for name, value in values.items() if value is None}
    assert nulls >= {"harm_agreement", "harm_shift", "length_ratio_z", "placeholders_kept",
                     "prompt_repeated"}  # fmt: skip
    assert found.no_way == {}


def test_a_row_without_its_source_has_language_signals_only() -> None:
    values = only(measure([Pair(GOOD, None)], tuple(Signal), Tools()).values)
    measured = {name for name, value in values.items() if value is not None}
    assert measured == {"language_confidence", "code_switch_share", "script_purity"}


def test_no_rows() -> None:
    found = measure([], tuple(Signal), Tools())
    assert set(found.values) == set(Signal)
    assert all(column == [] for column in found.values.values())


def test_a_judge_that_knows_the_language_reads_the_translation() -> None:
    judge = LongIsHarmful()
    tools = Tools(judge=judge, judge_languages=("glg_Latn", "spa_Latn"))
    values = only(measure([Pair(GOOD, SOURCE)], HARM, tools).values)
    assert [item.text for item in judge.seen] == [GOOD["text"], SOURCE["text"]]
    assert values["harm_agreement"] == pytest.approx(len(GOOD["text"]) / 100)
    shift = (len(GOOD["text"]) - len(SOURCE["text"])) / 100
    assert values["harm_shift"] == pytest.approx(shift)


def test_a_benign_row_agrees_with_unharmful() -> None:
    tools = Tools(judge=LongIsHarmful(), judge_languages=("glg_Latn",))
    benign = prompt(1, "unharmful", "glg_Latn", text="a" * 30)
    values = only(measure([Pair(benign, SOURCE)], HARM, tools).values)
    assert values == {"harm_agreement": pytest.approx(0.7), "harm_shift": None}


def test_other_languages_are_judged_by_what_comes_back(room: Room) -> None:
    needs("apertium")
    judge = LongIsHarmful()
    back = open_backends([BackendConfig(kind="apertium")], room, TeacherRuntime())
    tools = Tools(judge=judge, judge_languages=("spa_Latn",), backends=back)
    asturian = GOOD | {"language": "ast_Latn"}
    values = measure([Pair(GOOD, SOURCE), Pair(asturian, SOURCE)], HARM, tools).values
    assert {item.language for item in judge.seen} == {"spa_Latn"}
    assert all("abuela" in item.text for item in judge.seen)
    assert [value is None for value in values[Signal.HARM_AGREEMENT]] == [False, True]
    assert [value is None for value in values[Signal.HARM_SHIFT]] == [False, True]


def pack(folder: Path, *terms: dict[str, Any]) -> Path:
    place = folder / "glg_Latn"
    place.mkdir(parents=True)
    text = yaml.safe_dump({"terms": list(terms)}, allow_unicode=True)
    (place / "glossary.yaml").write_text(text, "utf-8")
    return folder


def test_glossary_violations(tmp_path: Path) -> None:
    terms: list[dict[str, Any]] = [
             {"source": "casa", "target": "fogar", "language": "spa_Latn", "lock": True},
             {"source": "puertas", "target": "portas", "language": "spa_Latn", "lock": True},
             {"source": "abuela", "target": "nai", "language": "spa_Latn"}]  # fmt: skip
    tools = Tools(packs=pack(tmp_path, *terms))
    kenyan = GOOD | {"language": "mer_Latn"}
    pairs = [Pair(GOOD, SOURCE), Pair(kenyan, SOURCE), Pair(GOOD, None)]
    found = measure(pairs, (Signal.GLOSSARY_VIOLATIONS,), tools).values
    assert found == {Signal.GLOSSARY_VIOLATIONS: [1.0, None, None]}


def test_a_pack_without_a_locked_term_of_the_source_language_measures_nothing(
    tmp_path: Path,
) -> None:
    terms = [{"source": "house", "target": "fogar", "lock": True}]
    tools = Tools(packs=pack(tmp_path, *terms))
    found = measure([Pair(GOOD, SOURCE)], (Signal.GLOSSARY_VIOLATIONS,), tools).values
    assert found == {Signal.GLOSSARY_VIOLATIONS: [None]}


def test_a_source_without_a_locked_term_measures_nothing(tmp_path: Path) -> None:
    terms = [{"source": "perro", "target": "can", "language": "spa_Latn", "lock": True}]
    tools = Tools(packs=pack(tmp_path, *terms))
    found = measure([Pair(GOOD, SOURCE)], (Signal.GLOSSARY_VIOLATIONS,), tools).values
    assert found == {Signal.GLOSSARY_VIOLATIONS: [None]}


EDITED = (Signal.COPIED_SHARE, Signal.NUMBERS_KEPT, Signal.ROUND_TRIP_CHRF,
          Signal.ROUND_TRIP_OVERLAP)  # fmt: skip
JOHN = prompt(2, language="spa_Latn", text="John vive en Nueva York y paga 315 euros por la casa.")
XUAN = prompt(2, language="glg_Latn", text="Xoán vive en Vigo e paga 265 euros pola casa.",
              edits=["name: John -> Xoán", "place: Nueva York -> Vigo",
                     "currency: 315 euros -> 265 euros"])  # fmt: skip


def test_logged_edits_are_no_faults(room: Room) -> None:
    needs("apertium")
    back = open_backends([BackendConfig(kind="apertium")], room, TeacherRuntime())
    blind = XUAN | {"edits": []}
    pairs = [Pair(XUAN, JOHN), Pair(blind, JOHN)]
    found = measure(pairs, EDITED, Tools(backends=back)).values
    assert found[Signal.NUMBERS_KEPT] == [1.0, 0.0]
    for name in (Signal.ROUND_TRIP_CHRF, Signal.ROUND_TRIP_OVERLAP):
        edited, unedited = found[name]
        assert edited is not None and unedited is not None and edited > unedited * 1.2


def test_edits_that_do_not_fit_the_source_make_null(room: Room) -> None:
    needs("apertium")
    back = open_backends([BackendConfig(kind="apertium")], room, TeacherRuntime())
    strange = XUAN | {"edits": ["name: Mary -> Uxía"]}
    found = measure([Pair(strange, JOHN)], EDITED, Tools(backends=back))
    assert found.values == {name: [None] for name in EDITED}
    assert found.no_way == {}, "there is a way back; the comparison is what is missing"


def test_length_is_compared_within_a_language() -> None:
    pairs = [Pair(GOOD | {"text": "a" * (50 + n)}, SOURCE) for n in range(10)]
    long = [Pair(p.row | {"language": "cat_Latn", "text": p.row["text"] * 3}, SOURCE)
            for p in pairs]  # fmt: skip
    (column,) = measure([*pairs, *long], (Signal.LENGTH_RATIO_Z,), Tools()).values.values()
    assert column[:10] == pytest.approx(column[10:])
    assert all(value is not None and abs(value) < 3 for value in column)


def test_coverage_counts_nulls_by_language() -> None:
    asturian = Pair(GOOD | {"language": "ast_Latn"}, None)
    values: dict[Signal, list[float | None]] = {Signal.NUMBERS_KEPT: [1.0, None, None]}
    found = coverage([Pair(GOOD, SOURCE), Pair(GOOD, None), asturian], values)
    assert found == {"numbers_kept": {
        "ast_Latn": {"measured": 0, "null": 1}, "glg_Latn": {"measured": 1, "null": 1}
    }}  # fmt: skip
