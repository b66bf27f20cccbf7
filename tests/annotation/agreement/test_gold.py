"""Right answers on gold items."""

import pytest
from tests.annotation.agreement.making import review
from tests.annotation.made import example, item

from whyguard.annotation.agreement.gold import exact_interval, gold
from whyguard.annotation.questions import Q
from whyguard.core.schemas import Review, ReviewItem
from whyguard.core.tables import frame

GOLD = [item(example(n), "blind", purpose="gold", gold="harmful") for n in range(4)]
WORK = item(example(9), "blind", gold="harmful")  # known, and yet not asked as gold
BENGALI = item(example(5, language="ben_Beng"), "blind", purpose="gold", gold="unharmful")


def test_by_annotator_and_language() -> None:
    rows = [review(of, Q.VERDICT, "p1", "harmful") for of in GOLD[:3]]
    rows += [review(GOLD[3], Q.VERDICT, "p1", "unharmful"),
             review(GOLD[0], Q.VERDICT, "p2", "unharmful"),
             review(BENGALI, Q.VERDICT, "p1", "unharmful")]  # fmt: skip
    found = gold(frame(Review, rows), frame(ReviewItem, [*GOLD, WORK, BENGALI]))
    assert [(one.annotator, one.language, one.right, one.n) for one in found] == [
        ("p1", "ast_Latn", 3, 4), ("p1", "ben_Beng", 1, 1), ("p2", "ast_Latn", 0, 1),
    ]  # fmt: skip
    assert (found[2].low, found[2].high) == pytest.approx((0.0, 0.975))


def test_what_does_not_count() -> None:
    rows = [review(WORK, Q.VERDICT, "p1", "harmful"),
            review(GOLD[0], Q.LOCAL_HARM, "p1", "yes"),
            review(GOLD[0], Q.VERDICT, "p2", "harmful", blind=False),
            review(GOLD[0], Q.VERDICT, "p3", "harmful", adjudicator=True)]  # fmt: skip
    assert gold(frame(Review, rows), frame(ReviewItem, [*GOLD, WORK])) == []


@pytest.mark.parametrize(("right", "n", "low", "high"), [
    (0, 20, 0.0, 1 - 0.025 ** (1 / 20)),
    (10, 10, 0.025 ** (1 / 10), 1.0),
    (1, 2, 1 - 0.975**0.5, 0.975**0.5),
])  # fmt: skip
def test_the_interval_in_closed_form(right: int, n: int, low: float, high: float) -> None:
    assert exact_interval(right, n) == pytest.approx((low, high), abs=1e-9)
