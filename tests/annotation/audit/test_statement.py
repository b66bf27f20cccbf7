"""Statements: what counts as wrong, what is not answered yet, and the pools they speak of."""

from typing import Any

import polars as pl
import pytest
from tests.annotation.made import decision, example, item

from whyguard.annotation.audit.bound import lower_rate, upper_rate
from whyguard.annotation.audit.questions import AuditQuestion
from whyguard.annotation.audit.statement import AuditStatement, statements, wrong
from whyguard.core.schemas import Decision, ReviewItem
from whyguard.core.tables import Row, frame

VERDICT, TRANSLATION, RATIONALE = AuditQuestion
THIRD = 0.05 / 3
KEY = ("ast_Latn", 1)


def audited(count: int, **changes: Any) -> list[Row]:
    """Blind and rationale items of so many rows, harmful ones and twins in turn."""
    return [item(example(n // 2, harmful=n % 2 == 0), kind,
                 **({"purpose": "audit", "pool": 200, "suggest": False} | changes))
            for n in range(count) for kind in ("blind", "rationale")]  # fmt: skip


def good(items: list[Row]) -> list[Row]:
    """Decisions that find nothing wrong."""
    found = []
    for one in items:
        if one["kind"] == "blind":
            found.append(decision(one, "verdict", one["label"]))
            continue
        found.append(decision(one, "translation_adequacy", "4"))
        if one["rationale"]:
            found.append(decision(one, "rationale_quality", "5"))
    return found


def stated(items: list[Row], decisions: list[Row], **options: Any
           ) -> dict[AuditQuestion, AuditStatement]:  # fmt: skip
    found = statements(frame(ReviewItem, items), frame(Decision, decisions), **options)
    return {one.question: one for one in found}


def test_a_clean_audit_bounds_each_question_over_its_own_pool() -> None:
    items = audited(40)
    found = stated(items, good(items), rationales={KEY: 90})
    verdict, rationale = found[VERDICT], found[RATIONALE]
    assert (verdict.pool, verdict.drawn, verdict.answered, verdict.wrong) == (200, 40, 40, 0)
    assert verdict.upper == upper_rate(200, 40, 0, THIRD) and verdict.lower == 0.0
    assert (rationale.pool, rationale.drawn) == (90, 20)
    assert rationale.upper == upper_rate(90, 20, 0, THIRD)
    assert verdict.sentence == (
        "0 wrong of 40: at most 8.5 % of the 200 rows are wrong (95 %, all 3 questions together); "
        "the audit is too small to say less"
    )


def test_a_pool_of_rationales_of_unknown_size_never_narrows_the_bound() -> None:
    items = audited(40)
    unknown = stated(items, good(items))[RATIONALE]
    assert unknown.pool is None and unknown.upper == upper_rate(None, 20, 0, THIRD)
    assert unknown.upper > upper_rate(90, 20, 0, THIRD)
    assert "of the rows are wrong" in unknown.sentence


@pytest.mark.parametrize(("question", "kind", "said", "expected"), [
    (VERDICT, "blind", {"verdict": "unharmful"}, True),
    (VERDICT, "blind", {"verdict": "harmful"}, False), (VERDICT, "blind", {}, None),
    (TRANSLATION, "rationale", {"translation_adequacy": "2"}, True),
    (TRANSLATION, "rationale", {"translation_adequacy": "3"}, False),
    (TRANSLATION, "rationale", {"rationale_quality": "1"}, None),
    (RATIONALE, "rationale", {"rationale_quality": "2", "issues": "[]"}, True),
    (RATIONALE, "rationale", {"rationale_quality": "3", "issues": '["literal"]'}, False),
    (RATIONALE, "rationale", {"rationale_quality": "5", "issues": '["helps_the_harm"]'}, True),
    (RATIONALE, "rationale", {"issues": '["contradicts_the_verdict"]'}, True),
    (RATIONALE, "rationale", {"issues": "[]"}, None),
])  # fmt: skip
def test_what_wrong_means(question: AuditQuestion, kind: str, said: dict[str, str],
                          expected: bool | None) -> None:  # fmt: skip
    assert wrong(question, item(example(1), kind), said) is expected
    assert wrong(TRANSLATION, item(example(1)), {"translation_adequacy": "3"}, poor=3) is True


def test_what_is_not_decided_counts_as_wrong_above_and_as_right_below() -> None:
    items = audited(40)
    decisions = good(items)
    blind = [n for n, one in enumerate(decisions) if one["question"] == "verdict"]
    decisions[blind[0]] = decision(items[0], "verdict", "unharmful")
    decisions[blind[1]] = decision(items[2], "verdict", None, "tie")
    del decisions[blind[2]]
    found = stated(items, decisions)[VERDICT]
    assert (found.drawn, found.answered, found.wrong, found.left) == (40, 38, 1, 2)
    assert found.upper == upper_rate(200, 40, 3, THIRD)
    assert found.upper_answered == upper_rate(200, 38, 1, THIRD)
    assert found.lower == lower_rate(200, 40, 1, THIRD)
    assert found.best == upper_rate(200, 40, 1, THIRD) < found.upper
    assert found.sentence.startswith("2 without a final answer count as wrong: 3 wrong of 40")
    assert "If all of them turn out right: 1 wrong of 40" in found.sentence


def test_before_any_answer_the_audit_says_what_it_can_come_to() -> None:
    found = stated(audited(20), [])[VERDICT]
    assert (found.answered, found.left, found.upper, found.upper_answered) == (0, 20, 1.0, 1.0)
    assert found.best == upper_rate(200, 20, 0, THIRD)
    assert "too small to say less" in found.sentence


def test_fewer_questions_share_the_level_among_fewer() -> None:
    items = audited(40)
    alone = stated(items, good(items), questions=(VERDICT,))
    assert set(alone) == {VERDICT} and alone[VERDICT].upper == upper_rate(200, 40, 0, 0.05)
    assert alone[VERDICT].sentence.endswith("(95 %); the audit is too small to say less")


def test_an_audit_of_verdicts_alone_shares_its_level_with_nothing() -> None:
    items = [one for one in audited(40) if one["kind"] == "blind"]
    found = stated(items, good(items))
    assert set(found) == {VERDICT} and found[VERDICT].upper == upper_rate(200, 40, 0, 0.05)


def test_languages_and_rounds_stand_apart_and_other_purposes_do_not_count() -> None:
    second = audited(8, round=2, pool=50)
    for one in second:
        one["item_id"] += " again"
    work = [item(example(77), "blind", purpose="random")]
    other = [item(example(5, language="glg_Latn"), "blind", purpose="audit", pool=9)]
    found = statements(frame(ReviewItem, [*audited(20), *second, *work, *other]),
                       frame(Decision, []))  # fmt: skip
    keys = [(one.language, one.round, one.question.value, one.drawn) for one in found]
    assert keys == [
        ("ast_Latn", 1, "verdict", 20), ("ast_Latn", 1, "translation", 20),
        ("ast_Latn", 1, "rationale", 10), ("ast_Latn", 2, "verdict", 8),
        ("ast_Latn", 2, "translation", 8), ("ast_Latn", 2, "rationale", 4),
        ("glg_Latn", 1, "verdict", 1),
    ]  # fmt: skip


def test_an_audit_that_drew_no_rationale_says_nothing_of_them() -> None:
    items = [one for one in audited(8) if one["label"] == "unharmful"]
    found = stated(items, good(items))[RATIONALE]
    assert (found.drawn, found.upper, found.lower) == (0, 1.0, 0.0)
    assert found.sentence == "nothing was answered: nothing is known of the rows"


def test_no_audit_gives_no_statement() -> None:
    items = pl.DataFrame(frame(ReviewItem, [item(example(1), "blind")]))
    assert statements(items, frame(Decision, [])) == []
