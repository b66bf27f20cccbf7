"""All figures of a review: by language, question and who is compared."""

import numpy as np
import polars as pl
import pytest
from tests.annotation.agreement.making import review
from tests.annotation.made import example, item

from whyguard.annotation.agreement.ac1 import ac1
from whyguard.annotation.agreement.alpha import Level, alpha
from whyguard.annotation.agreement.ratings import ratings
from whyguard.annotation.agreement.report import (
    AgreementFigure,
    Measure,
    agreement,
    alphas,
    figures_table,
)
from whyguard.annotation.questions import Q, question
from whyguard.core.schemas import Review, ReviewItem
from whyguard.core.tables import Row, frame

PEOPLE = ("p1", "p2", "p3")


def _answers(of: Row, who: str, rng: np.random.Generator) -> list[Row]:
    if of["kind"] == "blind":
        return [review(of, Q.VERDICT, who, str(rng.choice(["harmful", "harmful", "unharmful"]))),
                review(of, Q.LOCAL_HARM, who, str(rng.choice(["yes", "no"])))]  # fmt: skip
    issues = ["literal", "wrong_register"][: rng.integers(0, 3)]
    rows = [review(of, Q.TRANSLATION_ADEQUACY, who, str(rng.integers(3, 6))),
            review(of, Q.RATIONALE_QUALITY, who, str(rng.integers(2, 5)))]  # fmt: skip
    if issues:
        rows.append(review(of, Q.ISSUES, who, str(pl.Series(issues).to_list()).replace("'", '"')))
    if rng.random() < 0.5:
        rows.append(review(of, Q.CORRECTED_TRANSLATION, who, f"{of['text']} {rng.integers(3)}"))
    return rows


def reviewed(count: int, language: str = "ast_Latn") -> tuple[pl.DataFrame, pl.DataFrame]:
    """Answers of three people to `count` items of each kind, and the items."""
    rng = np.random.default_rng(5)
    items = [item(example(n, language=language), kind)
             for n in range(count) for kind in ("blind", "rationale")]  # fmt: skip
    rows = [row for of in items for who in PEOPLE for row in _answers(of, who, rng)]
    return frame(Review, rows), frame(ReviewItem, items)


def one(figures: list[AgreementFigure], asked: str, measure: Measure,
        *who: str) -> AgreementFigure:  # fmt: skip
    key = (asked, measure, who)
    (found,) = [it for it in figures if (it.question, it.measure, it.who) == key]
    return found


def test_every_question_has_its_figures() -> None:
    figures = agreement(*reviewed(12), draws=50)
    have = {(figure.question, figure.measure, len(figure.who)) for figure in figures}
    label = {(Measure.RAW, 0), (Measure.ALPHA, 0), (Measure.AC1, 0), (Measure.RAW, 2),
             (Measure.KAPPA, 2), (Measure.AC1, 2)}  # fmt: skip
    rating = {(Measure.RAW, 0), (Measure.ALPHA, 0), (Measure.RAW, 2), (Measure.WEIGHTED_KAPPA, 2)}
    sets = {(Measure.RAW, 0), (Measure.ALPHA, 0), (Measure.RAW, 2), (Measure.ALPHA, 2)}
    text = {(Measure.CHANGED, 0), (Measure.CHANGED, 1)}
    text |= {(measure, n) for measure in (Measure.CHRF_ORIGINAL, Measure.EDIT_ORIGINAL)
             for n in (0, 1)}  # fmt: skip
    text |= {(measure, n) for measure in (Measure.CHRF_BETWEEN, Measure.EDIT_BETWEEN)
             for n in (0, 2)}  # fmt: skip
    wanted = {
        Q.VERDICT: label, Q.LOCAL_HARM: label, Q.TRANSLATION_ADEQUACY: rating,
        Q.RATIONALE_QUALITY: rating, Q.ISSUES: sets, Q.CORRECTED_TRANSLATION: text,
    }  # fmt: skip
    for asked, expected in wanted.items():
        assert {(measure, n) for name, measure, n in have if name == asked} == expected
    assert Q.UNSURE not in {figure.question for figure in figures}
    pairs = [figure.who for figure in figures
             if (figure.question, figure.measure) == (Q.VERDICT, Measure.KAPPA)]  # fmt: skip
    assert pairs == [("p1", "p2"), ("p1", "p3"), ("p2", "p3")]


def test_values_are_those_of_the_measures_and_lie_in_their_intervals() -> None:
    reviews, items = reviewed(30)
    figures = agreement(reviews, items, draws=200)
    table = ratings(question(Q.VERDICT), reviews, items)
    found = one(figures, Q.VERDICT, Measure.ALPHA)
    assert found.value == alpha(table, Level.NOMINAL).value
    assert one(figures, Q.VERDICT, Measure.AC1, "p1", "p3").value == ac1(
        table.of(("p1", "p3"))).value  # fmt: skip
    assert (found.n, found.annotators, found.groups, found.draws) == (30, 3, 30, 200)
    for figure in figures:
        if figure.low is not None and figure.high is not None and figure.value is not None:
            assert figure.low <= figure.value + 0.1 and figure.value - 0.1 <= figure.high
            assert figure.low <= figure.high
    assert (found.low or 1.0) < (found.value or 0.0) < (found.high or -1.0)


def test_languages_stand_apart() -> None:
    (first, items), (second, others) = reviewed(6), reviewed(6, "ben_Beng")
    both = agreement(pl.concat([first, second]), pl.concat([items, others]), draws=20)
    alone = agreement(first, items, draws=20)
    assert [figure for figure in both if figure.language == "ast_Latn"] == alone
    assert {figure.language for figure in both} == {"ast_Latn", "ben_Beng"}


def test_what_has_no_value_says_why() -> None:
    of = [item(example(n), "blind") for n in range(3)]
    rows = [review(of[0], Q.VERDICT, "p1", "harmful"), review(of[1], Q.VERDICT, "p2", "harmful")]
    figures = agreement(frame(Review, rows), frame(ReviewItem, of))
    assert [(figure.measure, figure.value, figure.n) for figure in figures] == [
        (Measure.RAW, None, 0), (Measure.ALPHA, None, 0), (Measure.AC1, None, 0)]  # fmt: skip
    assert {figure.reason for figure in figures} == {"no item has two answers"}
    rows.append(review(of[0], Q.VERDICT, "p2", "harmful"))
    figures = agreement(frame(Review, rows), frame(ReviewItem, of))
    same = one(figures, Q.VERDICT, Measure.ALPHA)
    assert same.value is None and "all answers are the same" in (same.reason or "")
    raw = one(figures, Q.VERDICT, Measure.RAW)
    assert (raw.value, raw.low, raw.n, raw.groups) == (1.0, None, 1, 1)
    assert "no interval" in (raw.reason or "")


def test_no_answers_have_no_figures() -> None:
    _, items = reviewed(2)
    assert agreement(frame(Review, []), items) == []


def test_alphas_by_language_and_question() -> None:
    reviews, items = reviewed(10)
    found = alphas(reviews, items)
    assert {name for _, name in found} == {Q.VERDICT, Q.LOCAL_HARM, Q.TRANSLATION_ADEQUACY,
                                           Q.RATIONALE_QUALITY, Q.ISSUES}  # fmt: skip
    figures = agreement(reviews, items, draws=0)
    for (_, name), value in found.items():
        figure = one(figures, name, Measure.ALPHA)
        assert figure.value == value and figure.reason is None
        assert (figure.low, figure.high, figure.draws) == (None, None, 0)


def test_the_same_answers_give_the_same_figures_in_any_order() -> None:
    reviews, items = reviewed(8)
    assert agreement(reviews, items, draws=30, seed=4) == agreement(
        reviews.reverse(), items.reverse(), draws=30, seed=4)  # fmt: skip


def test_a_table_of_figures() -> None:
    found = figures_table(agreement(*reviewed(6), draws=10))
    assert {"all", "p1", "p1 | p2"} <= set(found["who"])
    assert found.schema["value"] == pl.Float64 and found.schema["reason"] == pl.String
    assert figures_table([]).height == 0


def test_an_interval_needs_more_than_one_group() -> None:
    rows = [item(example(n), "blind", group_id="same") for n in range(4)]
    said = [review(of, Q.VERDICT, who, ("harmful", "unharmful")[n % 2])
            for n, of in enumerate(rows) for who in ("p1", "p2")]  # fmt: skip
    found = one(agreement(frame(Review, said), frame(ReviewItem, rows)), Q.VERDICT, Measure.ALPHA)
    assert found.value == pytest.approx(1.0)
    assert (found.low, found.high, found.groups, found.draws) == (None, None, 1, 0)
