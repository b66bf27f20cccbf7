"""Which answers count, and where they stand in the table."""

import polars as pl
from tests.annotation.agreement.making import review
from tests.annotation.made import example, item

from whyguard.annotation.agreement.ratings import MISSING, Ratings, left_out, ratings
from whyguard.annotation.questions import Q, question
from whyguard.core.schemas import Review, ReviewItem
from whyguard.core.tables import Row, frame

BLIND = [item(example(n), "blind") for n in range(3)]
RATED = [item(example(n), "rationale") for n in range(3)]


def made(asked: Q, rows: list[Row], items: list[Row]) -> Ratings:
    return ratings(question(asked), frame(Review, rows), frame(ReviewItem, items))


def test_a_table_has_an_item_a_row_and_an_annotator_a_column() -> None:
    rows = [review(BLIND[1], Q.VERDICT, "p2", "unharmful"),
            review(BLIND[1], Q.VERDICT, "p1", "harmful"),
            review(BLIND[0], Q.VERDICT, "p2", "harmful")]  # fmt: skip
    found = made(Q.VERDICT, rows, BLIND)
    assert found.units == (BLIND[0]["item_id"], BLIND[1]["item_id"])
    assert found.groups == ("made:000", "made:001")
    assert found.annotators == ("p1", "p2") and found.domain == ("harmful", "unharmful")
    assert found.codes.tolist() == [[MISSING, 0], [0, 1]]
    assert found.counts().tolist() == [[1, 0], [1, 1]]
    assert found.pairable().tolist() == [False, True]
    assert found.of(["p2"]).codes.tolist() == [[0], [1]]


def test_adjudicators_and_answers_that_were_not_blind_do_not_count() -> None:
    rows = [review(BLIND[0], Q.VERDICT, "p1", "harmful"),
            review(BLIND[0], Q.VERDICT, "p2", "harmful", blind=False),
            review(BLIND[0], Q.VERDICT, "p3", "harmful", adjudicator=True)]  # fmt: skip
    assert made(Q.VERDICT, rows, BLIND).annotators == ("p1",)


def test_a_rating_is_never_blind_and_counts() -> None:
    rows = [review(RATED[0], Q.RATIONALE_QUALITY, who, value)
            for who, value in (("p1", "5"), ("p2", "2"))]  # fmt: skip
    found = made(Q.RATIONALE_QUALITY, rows, RATED)
    assert found.domain == ("1", "2", "3", "4", "5")
    assert found.codes.tolist() == [[4, 1]]


def test_answers_to_other_items_and_questions_are_left_aside() -> None:
    rows = [review(BLIND[0], Q.LOCAL_HARM, "p1", "yes"),
            review(BLIND[2], Q.VERDICT, "p1", "harmful")]  # fmt: skip
    found = made(Q.VERDICT, rows, BLIND[:2])
    assert found.units == () and found.counts().shape == (0, 2)


def test_issues_that_were_left_out_are_the_empty_set() -> None:
    rows = [review(RATED[0], Q.TRANSLATION_ADEQUACY, who, "4") for who in ("p1", "p2", "p3")]
    rows += [review(RATED[0], Q.ISSUES, "p1", '["literal"]'),
             review(RATED[0], Q.ISSUES, "p2", '["literal","wrong_register"]')]  # fmt: skip
    found = made(Q.ISSUES, rows, RATED)
    assert found.domain == ("[]", '["literal"]', '["literal","wrong_register"]')
    assert found.codes.tolist() == [[1, 2, 0]]


def test_a_local_harm_that_was_left_out_is_missing() -> None:
    rows = [review(BLIND[0], Q.VERDICT, who, "harmful") for who in ("p1", "p2")]
    rows += [review(BLIND[0], Q.LOCAL_HARM, "p1", "yes")]
    assert made(Q.LOCAL_HARM, rows, BLIND).annotators == ("p1",)
    absent = left_out(question(Q.LOCAL_HARM), frame(Review, rows))
    assert absent.to_dicts() == [{"item_id": BLIND[0]["item_id"], "annotator": "p2"}]


def test_the_order_of_rows_does_not_matter() -> None:
    rows = [review(of, Q.VERDICT, who, "harmful") for of in BLIND for who in ("p1", "p2")]
    one, other = made(Q.VERDICT, rows, BLIND), made(Q.VERDICT, rows[::-1], BLIND[::-1])
    assert (one.units, one.groups, one.annotators) == (other.units, other.groups, other.annotators)
    assert pl.DataFrame(one.codes).equals(pl.DataFrame(other.codes))
