"""Answers of several people to whole items: what becomes a decision, and what does not."""

import datetime
from pathlib import Path

import polars as pl
from tests.annotation.made import AT, example, item
from tests.generation.making import make_room, stored

from whyguard.annotation.deciding.decide import DecideConfig, decisions, run
from whyguard.core.schemas import Review, ReviewItem
from whyguard.core.steps import Input, Runtime
from whyguard.core.tables import Row, frame

HARMFUL, BENIGN = example(1), example(2, harmful=False)
BLIND = item(HARMFUL, "blind", suggest=False)
RATED = item(HARMFUL)


def said(of: Row, question: str, value: str, who: str = "p", minutes: int = 0, *,
         blind: bool | None = None, adjudicator: bool = False) -> Row:  # fmt: skip
    is_blind = of["kind"] == "blind" if blind is None else blind
    return {"item_id": of["item_id"], "question": question, "annotator": who,
            "adjudicator": adjudicator, "value": value, "had_suggestion": False,
            "submitted_at": AT + datetime.timedelta(minutes=minutes), "blind": is_blind,
            "guideline_version": "v"}  # fmt: skip


def decided(items: list[Row], reviews: list[Row]) -> dict[str, tuple[str | None, str, list[str]]]:
    table = decisions(frame(ReviewItem, items), frame(Review, reviews))
    return {question: (value, rule, names) for question, value, rule, names in
            table.select("question", "value", pl.col("rule").cast(pl.String),
                         "annotators").iter_rows()}  # fmt: skip


def test_a_rated_item_left_as_it_is_is_confirmed() -> None:
    found = decided([RATED], [said(RATED, "translation_adequacy", "5"),
                              said(RATED, "rationale_quality", "4")])  # fmt: skip
    assert found == {
        "translation_adequacy": ("5", "single", ["p"]),
        "corrected_translation": (HARMFUL["text"], "single", ["p"]),
        "rationale_quality": ("4", "single", ["p"]),
        "corrected_rationale": (HARMFUL["explanation"], "single", ["p"]),
        "issues": ("[]", "single", ["p"]),
    }


def test_a_rating_that_was_left_out_is_no_decision() -> None:
    benign = item(BENIGN)
    found = decided([benign], [said(benign, "translation_adequacy", "5")])
    assert "rationale_quality" not in found
    assert found["corrected_rationale"] == ("", "single", ["p"])


def test_nothing_is_decided_where_nobody_answered() -> None:
    assert decided([RATED, BLIND], []) == {}


def test_verdicts_count_where_they_were_given_blind() -> None:
    seen = said(BLIND, "verdict", "unharmful", "b", blind=False)
    assert decided([BLIND], [said(BLIND, "verdict", "harmful", "a"), seen]) == {
        "verdict": (None, "too_few", ["a"])}  # fmt: skip
    assert decided([BLIND], [seen]) == {}
    judge = said(BLIND, "verdict", "unharmful", "j", blind=False, adjudicator=True)
    assert decided([BLIND], [said(BLIND, "verdict", "harmful", "a"), judge])["verdict"] == (
        "unharmful", "adjudicated", ["j"])  # fmt: skip


def test_being_unsure_leaves_a_majority_undecided_and_no_other_question() -> None:
    values = {"a": "harmful", "b": "harmful", "c": "unharmful"}
    votes = [said(BLIND, "verdict", value, who) for who, value in values.items()]
    three = BLIND | {"wanted": 3}
    assert decided([three], votes)["verdict"][:2] == ("harmful", "majority")
    local = [said(BLIND, "local_harm", "no", who) for who in "abc"]
    found = decided([three], [*votes, *local, said(BLIND, "unsure", "yes", "c")])
    assert found["verdict"][:2] == (None, "tie")
    assert found["local_harm"][:2] == ("no", "unanimous") and "unsure" not in found


def test_a_decision_is_dated_by_its_last_answer() -> None:
    votes = [said(BLIND, "verdict", "harmful", who, at) for who, at in (("a", 3), ("b", 9))]
    table = decisions(frame(ReviewItem, [BLIND]), frame(Review, votes))
    assert table["decided_at"].to_list() == [AT + datetime.timedelta(minutes=9)]


def test_the_step_says_agreement_beside_its_decisions(tmp_path: Path) -> None:
    rows = [item(example(n), "blind", suggest=False) for n in range(8)]
    reviews = [said(of, "verdict", "harmful" if (n + k) % 4 else "unharmful", f"p{k}")
               for n, of in enumerate(rows) for k in range(2)]  # fmt: skip
    inputs = {"items": Input((stored(tmp_path / "i", ReviewItem, rows),)),
              "reviews": Input((stored(tmp_path / "r", Review, reviews),))}  # fmt: skip
    result = run(inputs, DecideConfig(draws=50), Runtime(), make_room(tmp_path / "room"))
    assert result.notes["rules"] == {"tie": 4, "unanimous": 4}
    raw = [f for f in result.notes["agreement"] if f["measure"] == "raw" and f["who"] == "all"]
    assert [(f["question"], f["value"], f["n"]) for f in raw] == [("verdict", 0.5, 8)]
    assert result.notes["gold"] == [] and result.notes["open"] == {"ast_Latn": 8}, (
        "nobody read the rationales"
    )


def test_a_row_is_judged_when_its_request_and_its_rationale_are(tmp_path: Path) -> None:
    rows = [item(example(n), purpose=p) for n, p in enumerate(("work", "random", "work", "gold"))]
    benign = item(example(9, harmful=False))
    reviews = [said(of, "translation_adequacy", "5") for of in (*rows[:2], benign)]
    reviews.append(said(rows[0], "rationale_quality", "4"))
    inputs = {"items": Input((stored(tmp_path / "i", ReviewItem, [*rows, benign]),)),
              "reviews": Input((stored(tmp_path / "r", Review, reviews),))}  # fmt: skip
    result = run(inputs, DecideConfig(draws=0), Runtime(), make_room(tmp_path / "room"))
    assert result.notes["open"] == {"ast_Latn": 3}, "unrated rationale, unanswered, gold"


def test_a_rationale_that_nobody_rated_is_said_to_have_too_few() -> None:
    found = decided([RATED], [said(RATED, "translation_adequacy", "5")])
    assert found["rationale_quality"] == (None, "too_few", [])
