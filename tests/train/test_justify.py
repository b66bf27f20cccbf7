"""train/justify.py: measures of one rationale."""

import pytest

from whyguard.train.justify import Rationale, chrf, measure, signal_rows


def _language(text: str, language: str) -> bool | None:
    return {"glg_Latn": True, "ast_Latn": False}.get(language)


@pytest.mark.parametrize(("text", "language"), [
    ("one two three " * 100, "glg_Latn"), ("Un dous tres " + "un dous tres " * 99, "glg_Latn"),
    ("\u6625\u590f\u79cb\u51ac" * 100, "zho_Hans"),
])  # fmt: skip
def test_a_loop_is_repetition(text: str, language: str) -> None:
    (found,) = measure([Rationale(text, language, "S1", None)], _language)
    assert (found["repetition"] or 0.0) > 0.98
    plain = Rationale("every word here stands once only", language, "S1", None)
    assert measure([plain], _language)[0]["repetition"] == 0.0


def test_chrf_ends() -> None:
    assert round(chrf("a casa vella", "a casa vella")) == 100
    assert chrf("  ", "a casa vella") == 0.0


def test_specific_needs_others_of_the_same_kind() -> None:
    items = [
        Rationale("the neighbour drinks the tea", "glg_Latn", "S1", "the neighbour drinks tea"),
        Rationale("the neighbour drinks the tea", "glg_Latn", "S1", "a bakery burns at night"),
        Rationale("the neighbour drinks the tea", "glg_Latn", "S2", "the neighbour drinks tea"),
        Rationale("whatever", "glg_Latn", "S1", None),
    ]
    assert [m["specific"] for m in measure(items, _language)] == [1.0, 0.0, None, None]


@pytest.mark.parametrize("text", ["", " ", "unharmful", "S1, harmful!"])
def test_a_missing_rationale_scores_zero(text: str) -> None:
    items = [Rationale(text, "glg_Latn", "S1", "unharmful to a b c d"),
             Rationale("x y", "glg_Latn", "S1", "e f")]  # fmt: skip
    found = measure(items, _language)[0]
    assert found == {"right_language": 0.0, "chrf": 0.0, "specific": 0.0, "empty": 1.0,
                     "repetition": None}  # fmt: skip


def test_language_that_cannot_be_told_is_null() -> None:
    found = measure([Rationale("a text that goes on here", "cat_Latn", "S1", None)], _language)[0]
    assert found["right_language"] is None
    assert found["chrf"] is None
    assert {"name": "chrf", "value": None} in signal_rows(found)
