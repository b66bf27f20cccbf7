"""Questions and the stored form of their answers."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whyguard.annotation.questions import (
    QUESTIONS,
    Answering,
    Issue,
    Q,
    Question,
    labels_of,
    question,
    stored,
)
from whyguard.core.errors import DataError


def test_every_name_is_a_question_of_one_kind() -> None:
    names = [asked.name for asked in (q for kind in QUESTIONS.values() for q in kind)]
    assert sorted(names) == sorted(Q)
    assert all(question(name).name == name for name in Q)
    with pytest.raises(DataError, match="did you mean 'verdict'"):
        question("verdicts")


@pytest.mark.parametrize(
    ("name", "value", "kept"),
    [
        (Q.VERDICT, "harmful", "harmful"),
        (Q.VERDICT, None, None),
        (Q.VERDICT, "", None),
        (Q.RATIONALE_QUALITY, 4, "4"),
        (Q.RATIONALE_QUALITY, 4.0, "4"),
        (Q.ISSUES, ["literal", "culturally_off", "literal"], '["culturally_off","literal"]'),
        (Q.ISSUES, [], "[]"),
        (Q.NOTE, "  two\nlines ", "two\nlines"),
        (Q.NOTE, " \n", None),
    ],
)
def test_stored_forms(name: str, value: object, kept: str | None) -> None:
    assert stored(question(name), value, "x") == kept


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        (Q.VERDICT, "Harmful", "one of: harmful, unharmful"),
        (Q.VERDICT, ["harmful"], "one of: harmful, unharmful"),
        (Q.RATIONALE_QUALITY, 0, "a whole number from 1 to 5"),
        (Q.RATIONALE_QUALITY, 2.5, "a whole number from 1 to 5"),
        (Q.RATIONALE_QUALITY, True, "a whole number from 1 to 5"),
        (Q.ISSUES, ["literal", "ugly"], "any of: wrong_language"),
        (Q.ISSUES, [["literal"]], "any of: wrong_language"),
        (Q.NOTE, 7, "text"),
    ],
)
def test_what_is_no_answer_is_an_error_that_names_the_place(
    name: str, value: object, expected: str
) -> None:
    with pytest.raises(DataError, match=expected) as caught:
        stored(question(name), value, "item i7")
    assert "item i7" in str(caught.value)


@given(st.sets(st.sampled_from(list(Issue))))
def test_sets_come_back(chosen: set[Issue]) -> None:
    text = stored(question(Q.ISSUES), list(chosen), "x")
    assert text is not None
    assert labels_of(text) == chosen
    assert json.loads(text) == sorted(chosen)


def test_required_questions_are_the_ones_a_form_cannot_do_without() -> None:
    required = {asked.name for kind in QUESTIONS.values() for asked in kind if asked.required}
    assert required == {Q.VERDICT, Q.TRANSLATION_ADEQUACY}
    options = {q.name: q.options for kind in QUESTIONS.values() for q in kind}
    assert all(
        bool(options[q.name]) == (q.answering in (Answering.LABEL, Answering.LABELS))
        for kind in QUESTIONS.values()
        for q in kind
    )
    assert isinstance(question(Q.NOTE), Question)
