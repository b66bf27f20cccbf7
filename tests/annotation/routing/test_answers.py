"""What earlier answers say of a row."""

from typing import Any

import pytest
from tests.annotation.made import decision, example, item

from whyguard.annotation.questions import Q
from whyguard.annotation.routing.answers import answers, decided, is_known, is_wrong
from whyguard.annotation.routing.fitting import Answer
from whyguard.core.tables import Row

ROW = example(1)
RATED = {Q.TRANSLATION_ADEQUACY.value: "5"}


@pytest.mark.parametrize(("kind", "said", "wrong"), [
    ("blind", {"verdict": "harmful"}, False), ("blind", {"verdict": "unharmful"}, True),
    ("rationale", {"translation_adequacy": "3", "rationale_quality": "3"}, False),
    ("rationale", {"translation_adequacy": "2"}, True),
    ("rationale", {"rationale_quality": "1"}, True),
    ("rationale", {"corrected_translation": f"  {ROW['text']}\n"}, False),
    ("rationale", {"corrected_translation": "another"}, True),
    ("rationale", {"corrected_rationale": "another"}, True),
    ("rationale", {"corrected_rationale": ROW["explanation"]}, False),
    ("rationale", {"issues": "[]"}, False), ("rationale", {"issues": '["literal"]'}, True),
])  # fmt: skip
def test_what_wrong_means(kind: str, said: dict[str, str], wrong: bool) -> None:
    assert is_wrong(item(ROW, kind), said) is wrong


def asked(number: int, kind: str = "rationale", **changes: Any) -> Row:
    return item(example(number), kind, **({"weight": 2.0} | changes))


def of(items: list[Row], decisions: list[Row], current: frozenset[str] | None = None
       ) -> list[Answer]:  # fmt: skip
    places = {example(n)["example_id"]: n for n in range(9)}
    return answers(items, decisions, places, current or frozenset(i["item_id"] for i in items))


def test_a_row_is_wrong_if_any_item_says_so_and_right_if_its_rationale_item_is_done() -> None:
    items = [asked(1), asked(1, "blind", purpose="work"), asked(2), asked(3, "blind"), asked(4)]
    decisions = [decision(items[0], "translation_adequacy", "5"),
                 decision(items[1], "verdict", "unharmful"),
                 decision(items[2], "translation_adequacy", "4"),
                 decision(items[3], "verdict", "harmful"),
                 decision(items[4], "rationale_quality", "5")]  # fmt: skip
    found = of(items, decisions)
    assert [(one.row, one.wrong) for one in found] == [(1, True), (2, False)]
    assert found[0] == Answer(1, "made:001", True, 2.0, False)


def test_chance_and_weight_are_the_items() -> None:
    items = [asked(1, purpose="random", weight=12.5), asked(2, purpose="audit", weight=4.0)]
    decisions = [decision(one, "translation_adequacy", "1") for one in items]
    assert [(one.random, one.weight) for one in of(items, decisions)] == [
        (True, 12.5),
        (False, 4.0),
    ]


def test_gold_old_texts_undecided_and_unknown_rows_say_nothing() -> None:
    items = [asked(1, purpose="gold"), asked(2), asked(3), asked(20), asked(4, weight=None)]
    decisions = [decision(one, "translation_adequacy", "1") for one in items]
    decisions[2] = decision(items[2], "translation_adequacy", None, "tie")
    current = frozenset(one["item_id"] for one in items if one is not items[1])
    assert of(items, decisions, current) == []


def test_undecided_questions_have_no_value() -> None:
    one = asked(1)
    rows = [decision(one, "issues", "[]"), decision(one, "rationale_quality", None, "spread")]
    assert decided(rows) == {one["item_id"]: {"issues": "[]"}}
    assert not is_known(one, decided(rows)[one["item_id"]]) and is_known(one, RATED)
    assert is_known(asked(1, "blind"), {"verdict": "harmful"})
