"""Reasons name the signal, its value, and how it stands among the language's rows."""

from tests.annotation.routing.making import faulty, measured, ordinary

from whyguard.annotation.routing.features import features_of
from whyguard.annotation.routing.reasons import NOTHING, main_aspects, reason


def test_the_reason_is_in_words() -> None:
    rows = [measured(n, numbers_kept=0.5 if n == 0 else 1.0) for n in range(50)]
    features = features_of(rows)
    assert reason(features, 0) == "numbers_kept 0.5 (lower than 98 % of ast_Latn rows)"
    assert reason(features, 1) == NOTHING
    assert main_aspects(features)[:2] == ("numbers", "")


def test_higher_lower_and_farther() -> None:
    rows = [measured(n, copied_share=0.1, length_ratio_z=0.1, round_trip_chrf=90.0)
            for n in range(20)]  # fmt: skip
    for values, words in (
        (({"copied_share": 0.9}), "copied_share 0.9 (higher than 95 %"),
        ({"length_ratio_z": -5.0}, "length_ratio_z -5 (farther from 0 than 95 %"),
        ({"round_trip_chrf": 12.0}, "round_trip_chrf 12 (lower than 95 %"),
    ):
        assert reason(features_of([*rows[:-1], faulty(rows[-1], **values)]), 19).startswith(words)


def test_two_aspects_at_most_worst_first() -> None:
    rows = ordinary(100)
    rows[6] = faulty(rows[6], language_confidence=0.01, code_switch_share=1.0, length_ratio_z=30.0,
                     round_trip_chrf=3.0)  # fmt: skip
    said = reason(features_of(rows), 6).split("; ")
    assert len(said) == 2 and len({words.split()[0] for words in said}) == 2
