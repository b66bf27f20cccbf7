"""train/pair_choice.py: which samples become a pair, and why others do not."""

import json
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.train.pair_making import (
    AST,
    ENGLISH,
    GLG,
    HARMFUL,
    NOISE,
    SOURCE,
    THINK,
    UNHARMFUL,
    config_of,
    judged,
    one_family,
    said,
    with_english,
)

from whyguard.core.errors import DataError
from whyguard.core.tables import Row, frame
from whyguard.core.values import Label
from whyguard.train.pair_choice import (
    Chosen,
    NoPair,
    Rejected,
    Sample,
    askable,
    choose,
    over_cap,
    read_sample,
    slots_of,
)
from whyguard.train.pairs import PreferencePair, build_pairs


def test_a_right_anchor_and_a_wrong_local_sample_make_a_pair() -> None:
    built = one_family(said(UNHARMFUL, HARMFUL, NOISE), said(HARMFUL, UNHARMFUL))
    (row,) = frame(PreferencePair, built.rows).to_dicts()
    assert built.drops == []
    assert (row["chosen"], row["rejected"], row["anchor"]) == (HARMFUL, UNHARMFUL, HARMFUL)
    assert (row["chosen_sample"], row["rejected_sample"]) == (1, 1)
    assert (row["chosen_call"], row["rejected_call"]) == ("call-1", "call-1")
    assert (row["right_of"], row["wrong_of"], row["samples"]) == (1, 1, 4)
    assert (row["prompt_e"], row["language"]) == ("the house of made:00-h is old", AST)


def test_both_are_cut_behind_their_verdict() -> None:
    rest = "<explanation>a reason in English</explanation>"
    built = one_family(said(judged("harmful", rest=rest)), said(judged("unharmful", rest=rest)))
    assert (built.rows[0]["chosen"], built.rows[0]["rejected"]) == (HARMFUL, UNHARMFUL)


def test_the_local_explanation_is_spliced_into_the_chosen_one_alone() -> None:
    built = one_family(said(HARMFUL), said(UNHARMFUL), explanation="splice")
    local = "<explanation>la moza 0 canta na plaza</explanation>"
    assert built.rows[0]["chosen"] == HARMFUL + local
    assert (built.rows[0]["anchor"], built.rows[0]["rejected"]) == (HARMFUL, UNHARMFUL)


@pytest.mark.parametrize(("row", "why"), [
    ({"explanation": None}, "missing"), ({"explanation": "x </judge>"}, "holding a tag"),
    ({}, "not reviewed")])  # fmt: skip
def test_what_cannot_be_spliced_gives_no_pair(row: Row, why: str) -> None:
    built = one_family(said(HARMFUL), said(UNHARMFUL), explanation="splice", reviewed_only=True,
                       row=row)  # fmt: skip
    assert [(d["rule"], d["reason"]) for d in built.drops] == [
        ("no_local_explanation", f"the local explanation is {why}")
    ]


@pytest.mark.parametrize(("english", "target", "rule"), [
    ([UNHARMFUL], [UNHARMFUL], NoPair.NONE_RIGHT), ([HARMFUL], [HARMFUL], NoPair.NONE_WRONG),
    ([NOISE, None], [UNHARMFUL], NoPair.UNREADABLE_ENGLISH),
    ([HARMFUL], [NOISE, ""], NoPair.UNREADABLE_TARGET),
    ([HARMFUL], ["</judge>"], NoPair.UNREADABLE_TARGET),
    ([HARMFUL], [], NoPair.UNREADABLE_TARGET),
    ([HARMFUL], [judged("unharmful", THINK.replace("S2", "S4"))], NoPair.UNREADABLE_TARGET),
])  # fmt: skip
def test_why_a_family_has_no_pair(english: list[str | None], target: list[str | None],
                                  rule: NoPair) -> None:  # fmt: skip
    built = one_family(said(*english), said(*target))
    assert built.rows == []
    assert [(d["rule"], d["row_id"]) for d in built.drops] == [(rule.value, f"made:00-h:{AST}")]


def test_what_needs_no_samples_is_known_before() -> None:
    row = with_english(1)[0]
    other = row | {"language": AST, "example_id": "other"}
    reasons = {
        NoPair.NO_ENGLISH: slots_of([other], ENGLISH, [AST]),
        NoPair.NO_TARGET: slots_of([row, other], ENGLISH, [GLG]),
        NoPair.LABELS_DIFFER: slots_of([row, other | {"label": "unharmful"}], ENGLISH, [AST]),
        NoPair.NOT_WRITTEN: slots_of([row | {"categories": ["S4"]}, other], ENGLISH, [AST]),
    }
    for rule, (slot,) in reasons.items():
        found = askable(slot, splice=False, reviewed_only=False)
        assert isinstance(found, Rejected) and found.rule is rule
    (whole,) = slots_of([row, other], ENGLISH, [AST])
    assert askable(whole, splice=False, reviewed_only=False) == (row, other)


def test_a_family_has_one_pair_a_language() -> None:
    row = with_english(1)[0]
    first, second = (row | {"language": AST, "example_id": name} for name in ("first", "second"))
    galician = first | {"language": GLG, "example_id": "third"}
    slots = slots_of([row, first, second, galician], ENGLISH, [AST, GLG])
    found = [askable(slot, splice=False, reviewed_only=False) for slot in slots]
    assert (found[0], found[2]) == ((row, first), (row, galician))
    assert isinstance(found[1], Rejected) and found[1].rule is NoPair.SECOND_ROW


def test_drops_hold_ids_and_no_text() -> None:
    built = one_family(said(NOISE), said(NOISE))
    assert json.loads(built.drops[0]["row"]) == {
        "example_id": f"made:00-h:{AST}", "family_id": "made:00-h", "label": "harmful",
        "language": AST}  # fmt: skip


@given(st.lists(st.sampled_from([HARMFUL, UNHARMFUL, NOISE]), max_size=9),
       st.lists(st.sampled_from([HARMFUL, UNHARMFUL, NOISE]), max_size=9),
       st.integers(0, 5), st.sampled_from(Label))  # fmt: skip
def test_a_chosen_pair_is_right_and_wrong_whatever_the_samples(
    english: list[str], target: list[str], seed: int, label: Label
) -> None:
    found = choose(("family", AST), label, said(*english), said(*target), seed)
    again = choose(("family", AST), label, said(*english)[::-1], said(*target)[::-1], seed)
    assert found == again
    right, wrong = ("harmful", "unharmful") if label == "harmful" else ("unharmful", "harmful")
    possible = judged(right) in english and judged(wrong) in target
    assert isinstance(found, Chosen if possible else Rejected)
    if isinstance(found, Chosen):
        assert (found.right.cut, found.wrong.cut) == (judged(right), judged(wrong))
        assert (found.right_of, found.wrong_of) == (
            english.count(judged(right)), target.count(judged(wrong)))  # fmt: skip


def test_seeds_and_languages_draw_among_all_candidates() -> None:
    many = said(*[HARMFUL] * 4), said(*[UNHARMFUL] * 4)
    seen: Counter[tuple[int, int]] = Counter()
    for seed in range(40):
        found = choose(("family", AST), Label.HARMFUL, *many, seed)
        assert isinstance(found, Chosen)
        seen[(found.right.sample.number, found.wrong.sample.number)] += 1
    assert {right for right, _ in seen} == {wrong for _, wrong in seen} == {0, 1, 2, 3}
    assert len(seen) > 8, "the two are drawn apart"


def test_the_cap_leaves_others_of_the_language_out() -> None:
    rows = [{"pair_id": f"{language}-{n}", "language": language}
            for language in (AST, GLG) for n in range(3 if language == GLG else 6)]  # fmt: skip
    left_out = over_cap(rows, 4, seed=1)
    assert len(left_out) == 2 and all(pair.startswith(AST) for pair in left_out)
    assert left_out == over_cap(rows[::-1], 4, seed=1) != over_cap(rows, 4, seed=2)
    assert over_cap(rows, None, seed=1) == set()


def test_capped_pairs_are_counted() -> None:
    rows = with_english(3)
    harmful = {row["example_id"]: said(HARMFUL if row["language"] == ENGLISH else UNHARMFUL)
               for row in rows}  # fmt: skip
    built = build_pairs(slots_of(rows, ENGLISH, [AST]), harmful, config_of(cap=2), SOURCE)
    assert len(built.rows) == 2
    assert Counter(d["rule"] for d in built.drops) == {
        "language_cap": 1,
        "none_right_on_english": 3,
    }


def test_a_pair_with_a_wrong_verdict_is_refused() -> None:
    (row,) = one_family(said(HARMFUL), said(UNHARMFUL)).rows
    with pytest.raises(DataError, match="right_is_chosen"):
        frame(PreferencePair, [row | {"chosen_verdict": "unharmful"}])


@given(st.text(max_size=30))
def test_hostile_samples_are_read_or_not(text: str) -> None:
    found = read_sample(Sample(0, f"<judge>harmful</judge>{text}"))
    assert found is not None and found.cut == "<judge>harmful</judge>"
    assert read_sample(Sample(0, text)) is None
