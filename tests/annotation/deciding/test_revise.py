"""Decisions become revisions with lineage; what nobody decided passes unchanged."""

from collections.abc import Callable, Sequence
from pathlib import Path
from uuid import uuid4

import pytest
from tests.annotation.made import AT, decision, example, item
from tests.generation.making import make_room, stored

from whyguard.annotation.deciding.revise import ReviseConfig, run
from whyguard.annotation.questions import Q
from whyguard.core.errors import DataError
from whyguard.core.schemas import Decision, Example, ReviewItem
from whyguard.core.steps import Input, Runtime, StepResult
from whyguard.core.tables import Row, frame

Revise = Callable[..., StepResult]


@pytest.fixture
def revise(tmp_path: Path) -> Revise:
    """Runs the step over stored rows."""

    def run_it(examples: Sequence[Row], items: Sequence[Row],
               decisions: Sequence[Row]) -> StepResult:  # fmt: skip
        tables = (("examples", Example, examples), ("items", ReviewItem, items),
                  ("decisions", Decision, decisions))  # fmt: skip
        inputs = {name: Input((stored(tmp_path / uuid4().hex, schema, rows),))
                  for name, schema, rows in tables}  # fmt: skip
        return run(inputs, ReviseConfig(), Runtime(), make_room(tmp_path / "room"))

    return run_it


@pytest.fixture
def one(revise: Revise) -> Callable[..., StepResult]:
    """Runs the step over one example with decisions on its rationale item."""

    def run_it(decisions: dict[str, str], row: Row | None = None) -> StepResult:
        row = row or example()
        of = item(row)
        return revise([row], [of], [decision(of, question, value)
                                    for question, value in decisions.items()])  # fmt: skip

    return run_it


def test_without_decisions_every_row_passes_as_it_is(revise: Revise) -> None:
    rows = [example(), example(harmful=False), example(2, explanation=None)]
    result = revise(rows, [item(rows[0])], [])
    assert result.rows.equals(frame(Example, rows))
    assert result.drops.height == 0


def test_a_rewritten_rationale_is_a_revision_with_its_lineage(one: Revise) -> None:
    result = one({Q.CORRECTED_RATIONALE: "meyor", Q.RATIONALE_QUALITY: "2",
                  Q.TRANSLATION_ADEQUACY: "5"})  # fmt: skip
    row = result.rows.row(0, named=True)
    assert row["explanation"] == "meyor" and row["reviewed"]
    assert row["revisions"] == [
        {"field": "explanation", "before": "placeholder rationale 1 in ast_Latn", "by": ["ast-1"],
         "rule": "single", "item": "made:001-h:ast_Latn#rationale#0", "at": AT}]  # fmt: skip
    assert row["signals"], "they speak of the request, which is as it was"
    assert result.notes == {"changed": {"explanation": 1}, "reviewed": 1}


def test_a_new_text_takes_its_signals_away(one: Revise) -> None:
    row = one({Q.CORRECTED_TRANSLATION: "otru testu"}).rows.row(0, named=True)
    assert row["text"] == "otru testu" and row["signals"] == []
    assert [revision["field"] for revision in row["revisions"]] == ["text"]
    assert not row["reviewed"], "nobody rated it"


def test_an_answer_equal_to_what_stands_is_no_revision(one: Revise) -> None:
    row = example()
    same = one({Q.CORRECTED_TRANSLATION: row["text"], Q.CORRECTED_RATIONALE: row["explanation"],
                Q.TRANSLATION_ADEQUACY: "4", Q.RATIONALE_QUALITY: "4"})  # fmt: skip
    (found,) = same.rows.to_dicts()
    assert found["revisions"] == [] and found["reviewed"]


def test_a_harmful_row_called_harmless_loses_all_that_speaks_of_a_refusal(one: Revise) -> None:
    row = one({Q.VERDICT: "unharmful"}).rows.row(0, named=True)
    assert row["label"] == "unharmful" and row["categories"] == []
    gone = ("explanation", "explanation_english", "explanation_template", "reply")
    assert [row[name] for name in gone] == [None] * 4
    fields = {revision["field"]: revision["before"] for revision in row["revisions"]}
    assert fields == {"label": "harmful", "explanation": "placeholder rationale 1 in ast_Latn",
                      "explanation_english": "placeholder rationale 1", "reply": "a refusal",
                      "categories": "S2", "think": "trace 1"}  # fmt: skip
    assert row["think"] is None and row["explanation_generator"] is None


def test_a_harmless_row_called_harmful_needs_a_rationale(one: Revise) -> None:
    twin = example(harmful=False)
    dropped = one({Q.VERDICT: "harmful"}, twin)
    assert dropped.rows.height == 0 and dropped.drops["rule"].to_list() == ["no_explanation"]
    kept = one({Q.VERDICT: "harmful", Q.CORRECTED_RATIONALE: "porque sí"}, twin)
    row = kept.rows.row(0, named=True)
    assert (row["label"], row["explanation"], row["reply"]) == ("harmful", "porque sí", None)


@pytest.mark.parametrize(
    ("decisions", "rule"),
    [
        ({Q.TRANSLATION_ADEQUACY: "2"}, "translation_rejected"),
        ({Q.TRANSLATION_ADEQUACY: "2", Q.CORRECTED_TRANSLATION: "otru"}, None),
        ({Q.RATIONALE_QUALITY: "1"}, "rationale_rejected"),
        ({Q.RATIONALE_QUALITY: "1", Q.CORRECTED_RATIONALE: "otra"}, None),
        ({Q.RATIONALE_QUALITY: "3"}, None),
        ({Q.ISSUES: '["helps_the_harm","literal"]'}, "rationale_helps"),
        ({Q.ISSUES: '["literal"]'}, None),
        ({Q.ISSUES: '["contradicts_the_verdict"]'}, "rationale_contradicts"),
        ({Q.RATIONALE_QUALITY: "1", Q.VERDICT: "unharmful"}, None),
    ],
)
def test_what_people_reject_and_do_not_mend_is_dropped(
    one: Revise, decisions: dict[str, str], rule: str | None
) -> None:
    result = one(decisions)
    assert result.drops["rule"].to_list() == ([rule] if rule else [])
    assert result.rows.height + result.drops.height == result.read == 1


def test_two_different_corrections_leave_the_row_as_it_is_and_not_reviewed(
    revise: Revise,
) -> None:
    row = example()
    of = item(row, wanted=2)
    for rating in ("2", "4"):
        found = revise([row], [of], [
            decision(of, Q.TRANSLATION_ADEQUACY, rating, "unanimous"),
            decision(of, Q.RATIONALE_QUALITY, "5", "unanimous"),
            decision(of, Q.CORRECTED_TRANSLATION, None, "tie")])  # fmt: skip
        (kept,) = found.rows.to_dicts()
        assert kept["text"] == row["text"] and not kept["reviewed"]


def test_rows_that_were_mended_in_an_earlier_round_are_kept(revise: Revise) -> None:
    row = example()
    of = item(row)
    found = [decision(of, Q.TRANSLATION_ADEQUACY, "1"), decision(of, Q.RATIONALE_QUALITY, "1"),
             decision(of, Q.CORRECTED_TRANSLATION, "otru"),
             decision(of, Q.CORRECTED_RATIONALE, "otra")]  # fmt: skip
    (mended,) = revise([row], [of], found).rows.to_dicts()
    again = revise([mended], [of], found)
    assert again.drops.height == 0
    assert again.rows.row(0, named=True)["revisions"] == mended["revisions"]


def test_undecided_and_gold_change_nothing(revise: Revise) -> None:
    row = example()
    tied, gold = item(row, "blind"), item(row, "blind", purpose="gold", item_id="g", gold="harmful")
    result = revise([row], [tied, gold], [decision(tied, Q.VERDICT, None, "tie"),
                                          decision(gold, Q.VERDICT, "unharmful")])  # fmt: skip
    assert result.rows.equals(frame(Example, [row]))


def test_decisions_on_unknown_rows_are_an_error(revise: Revise) -> None:
    row, other = example(), example(2)
    with pytest.raises(DataError, match="1 decisions on others, first made:002-h:ast_Latn"):
        revise([row], [item(other)], [decision(item(other), Q.VERDICT, "harmful")])
    with pytest.raises(DataError, match="an item among the input 'items'"):
        revise([row], [], [decision(item(row), Q.VERDICT, "harmful")])
