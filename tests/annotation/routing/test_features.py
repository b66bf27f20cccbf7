"""Signals become features that run one way, within a language; nulls stay nulls."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.annotation.made import example
from tests.annotation.routing.making import measured, signals

from whyguard.annotation.routing.features import (
    ASPECTS,
    FAMILY_SPREAD,
    KINDS,
    NAMES,
    VOTE_AGAINST,
    VOTE_ENTROPY,
    Features,
    features_of,
    standardised,
    surprises,
)
from whyguard.generation.signals.names import Signal

WORSE = {
    "language_confidence": (0.9, 0.2), "code_switch_share": (0.0, 0.5), "copied_share": (0.1, 0.9),
    "length_ratio_z": (-0.5, -4.0), "numbers_kept": (1.0, 0.5), "placeholders_kept": (1.0, 0.0),
    "negation_shift": (0.0, -1.0), "round_trip_chrf": (95.0, 40.0), "lost_placeholders": (0.0, 1.0),
    "round_trip_overlap": (1.0, 0.3), "harm_agreement": (0.9, 0.1), "harm_shift": (0.1, -0.8),
    "unknown_word_share": (0.0, 0.2), "glossary_violations": (0.0, 2.0),
    "script_purity": (1.0, 0.4), "prompt_repeated": (0.0, 0.6),
}  # fmt: skip


def column(features: Features, name: str) -> list[float]:
    return [float(value) for value in features.surprise[:, NAMES.index(name)]]


@pytest.mark.parametrize("name", sorted(WORSE))
def test_worse_is_more_surprising_for_every_signal(name: str) -> None:
    good, bad = WORSE[name]
    rows = [example(n, signals=signals(**{name: bad if n == 7 else good})) for n in range(20)]
    found = column(features_of(rows), name)
    by_rank = math.log(20)
    assert found[7] == pytest.approx(5.4 if KINDS[name].crisp else by_rank)
    assert all(value == 0.0 for n, value in enumerate(found) if n != 7)


def test_every_signal_that_steps_write_is_read() -> None:
    by_design = {Signal.LENGTH_RATIO.value}  # its z-score is read
    assert {signal.value for signal in Signal} - by_design <= set(KINDS)
    assert set(WORSE) <= set(KINDS)


def test_nulls_are_not_measurable_and_no_surprise() -> None:
    rows = [measured(n, numbers_kept=None if n < 5 else 1.0) for n in range(10)]
    found = column(features_of(rows), "numbers_kept")
    assert all(math.isnan(value) for value in found[:5]) and found[5:] == [0.0] * 5
    assert np.isnan(features_of(rows).by_aspect()[0]).all()


def test_languages_are_compared_with_themselves_only() -> None:
    rows = [measured(n, "ast_Latn", round_trip_chrf=90.0 + n) for n in range(12)]
    rows += [measured(n, "ben_Beng", round_trip_chrf=40.0 + n) for n in range(12)]
    found = column(features_of(rows), "round_trip_chrf")
    assert found[:12] == pytest.approx(found[12:])
    assert found[0] == max(found)


def test_a_family_that_disagrees_shows_in_the_row_that_does() -> None:
    rows = [
        measured(1, code, harm_agreement=value)
        for code, value in (
            ("ast_Latn", 0.9),
            ("glg_Latn", 0.1),
            ("cat_Latn", 0.8),
            ("oci_Latn", 0.9),
        )
    ]
    values = features_of(rows).values[:, NAMES.index(FAMILY_SPREAD)]
    assert values.tolist() == pytest.approx([0.1, 0.8, 0.1, 0.1])
    alone = features_of([measured(1, harm_agreement=0.3), measured(2)])
    assert np.isnan(alone.values[:, NAMES.index(FAMILY_SPREAD)]).all()


def test_votes_of_the_family_count_against_the_label() -> None:
    rows = [example(1), example(1, harmful=False), example(2)]
    traces = [{"prompt_id": "made:001-h:eng_Latn", "verdict": verdict}
              for verdict in ("harmful", "unharmful", "unharmful", "unharmful")]  # fmt: skip
    traces += [{"prompt_id": "made:001-b:eng_Latn", "verdict": "unharmful"}] * 2
    traces += [{"prompt_id": "made:002-h:eng_Latn", "verdict": "unharmful"}]
    values = features_of(rows, traces).values
    against, entropy = values[:, NAMES.index(VOTE_AGAINST)], values[:, NAMES.index(VOTE_ENTROPY)]
    assert against[:2].tolist() == [0.75, 0.0] and entropy[1] == 0.0
    assert entropy[0] == pytest.approx(0.8112781)
    assert math.isnan(against[2])  # one vote says nothing


def test_an_explanation_brings_its_own_signals() -> None:
    rows = [example(1), example(1, harmful=False), example(2)]
    texts = [{"prompt_id": "made:001-h:eng_Latn", "language": "ast_Latn",
              "signals": signals(copied_share=0.7)},
             {"prompt_id": "made:002-h:eng_Latn", "language": "glg_Latn",
              "signals": signals(copied_share=0.9)}]  # fmt: skip
    values = features_of(rows, explanations=texts).values
    own = values[:, NAMES.index("explanation copied_share")]
    assert own[0] == 0.7 and np.isnan(own[1:]).all()
    assert "explanation copied" in ASPECTS


@given(st.lists(st.floats(-50, 50), min_size=1, max_size=60))
def test_surprise_follows_badness_and_is_bounded(bad: list[float]) -> None:
    values = np.array(bad)
    found, better = surprises(values)
    order = np.argsort(values, kind="stable")
    assert (np.diff(found[order]) >= -1e-12).all()
    assert ((found >= 0.0) & (found <= 8.0)).all() and ((better >= 0.0) & (better < 1.0)).all()
    assert found[values.argmin()] == 0.0


def test_a_value_far_out_counts_for_more_than_the_worst_of_many() -> None:
    values = np.linspace(0.0, 1.0, 50)
    ordinary, _ = surprises(values)
    far, _ = surprises(np.append(values[:-1], 6.0))
    assert far[-1] > ordinary[-1] + 1.0


def test_a_crisp_fault_surprises_unless_half_of_the_rows_have_it() -> None:
    rows = [measured(n, numbers_kept=0.5 if n < 4 else 1.0) for n in range(40)]
    assert column(features_of(rows), "numbers_kept")[0] == pytest.approx(4.8)
    many = [measured(n, negation_shift=1.0 if n < 24 else 0.0) for n in range(40)]
    assert column(features_of(many), "negation_shift")[0] == pytest.approx(-math.log(0.6))


def test_no_rows_give_no_features() -> None:
    assert len(features_of([])) == 0
    assert len(standardised([], np.empty((0, len(NAMES))))) == 0
