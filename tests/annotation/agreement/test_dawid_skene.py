"""Labels and error rates estimated together."""

import numpy as np
import pytest
from tests.annotation.agreement.making import table

from whyguard.annotation.agreement.dawid_skene import dawid_skene
from whyguard.annotation.agreement.ratings import Ratings

RATES = (0.05, 0.1, 0.45)


def noisy(items: int = 300, seed: int = 0, gaps: float = 0.0) -> tuple[list[str], Ratings]:
    """Labels, and what three annotators of known error rates say."""
    rng = np.random.default_rng(seed)
    truth = rng.choice(["h", "u"], items)
    rows = []
    for rate in RATES:
        wrong = rng.random(items) < rate
        said = np.where(wrong, np.where(truth == "h", "u", "h"), truth)
        rows.append([str(x) if rng.random() >= gaps else None for x in said])
    return [str(x) for x in truth], table(*rows, domain="hu")


def test_it_finds_who_errs_and_outvotes_two_by_the_better_one() -> None:
    truth, found = noisy()
    estimate = dawid_skene(found)
    assert estimate.reason is None and estimate.labels == ("h", "u")
    rates = [one.rate for one in estimate.errors]
    assert rates == pytest.approx(RATES, abs=0.06)
    best = [estimate.labels[int(np.argmax(one.probabilities))] for one in estimate.posteriors]
    votes = ["hu"[int(counts[1] > counts[0])] for counts in found.counts()]
    right = sum(a == b for a, b in zip(best, truth, strict=True))
    assert right > sum(a == b for a, b in zip(votes, truth, strict=True))
    assert right >= 0.93 * len(truth)


def test_probabilities_sum_to_one() -> None:
    estimate = dawid_skene(noisy(60, gaps=0.1)[1])
    for one in estimate.posteriors:
        assert sum(one.probabilities) == pytest.approx(1.0)
    for annotator in estimate.errors:
        for row in annotator.confusion:
            assert sum(row) == pytest.approx(1.0)


def test_two_runs_are_equal() -> None:
    found = noisy(gaps=0.2)[1]
    assert dawid_skene(found) == dawid_skene(found)


def test_items_and_annotators_without_answers_have_no_estimate() -> None:
    found = table("hu" * 12 + ".", "hu" * 12 + ".", "." * 25, "hh" + "hu" * 11 + ".", domain="hu")
    estimate = dawid_skene(found)
    assert [one.item_id for one in estimate.posteriors] == list(found.units[:-1])
    assert [(one.annotator, one.n) for one in estimate.errors] == [
        ("p0", 24), ("p1", 24), ("p3", 24)]  # fmt: skip


def test_a_label_that_nobody_used_is_improbable() -> None:
    rows = ["hu" * 15, "hu" * 15, "hu" * 14 + "uh"]
    estimate = dawid_skene(table(*rows, domain="hxu"))
    assert len(estimate.posteriors[0].probabilities) == 3
    assert all(one.probabilities[1] < 1e-6 for one in estimate.posteriors)


@pytest.mark.parametrize(("rows", "reason"), [
    (["hu" * 20, "hu" * 20], "2 annotators: 3 or more must overlap"),
    (["hu" * 9, "hu" * 9, "hu" * 9], "18 items have 3 answers or more: 20 are needed"),
    (["h" * 30, "h" * 30, "h" * 30], "all answers are the same"),
])  # fmt: skip
def test_too_little_to_estimate_from_is_said(rows: list[str], reason: str) -> None:
    estimate = dawid_skene(table(*rows, domain="hu"))
    assert estimate.reason is not None and reason in estimate.reason
    assert estimate.posteriors == () and estimate.errors == ()
