"""The card's section on what people said."""

import datetime
from typing import Any

import polars as pl
from tests.cards.conftest import example_rows

from whyguard.cards.card_review import DECIDE, review_section
from whyguard.cards.layout import UpstreamStep
from whyguard.core.schemas import Example
from whyguard.core.tables import frame


def lineage(*notes: dict[str, Any]) -> list[UpstreamStep]:
    return [UpstreamStep(step=DECIDE, key="k", content_sha256="c", notes=found) for found in notes]


def rows(revised: bool = False) -> pl.DataFrame:
    made = list(example_rows(2))
    if revised:
        made[0]["revisions"] = [{"field": "explanation", "before": "old", "by": ["ast-1"],
                                 "rule": "single", "item": "i",
                                 "at": datetime.datetime.now(datetime.UTC)}]  # fmt: skip
    return frame(Example, made)


FIGURE = {"language": "ast_Latn", "question": "verdict", "who": "all", "measure": "alpha",
          "value": 0.5, "low": 0.25, "high": 0.75, "n": 12, "annotators": 2,
          "reason": None}  # fmt: skip


def test_a_version_that_nobody_was_asked_about_has_no_section() -> None:
    assert review_section(lineage(), rows()) == ""


def test_revisions_agreement_and_audit_are_told() -> None:
    pair = FIGURE | {"who": "ast-1 ast-2", "measure": "kappa"}
    undefined = FIGURE | {"question": "issues", "value": None, "low": None, "high": None,
                          "reason": "one value | only"}  # fmt: skip
    statement = {"language": "ast_Latn", "question": "verdict", "sentence": "0 wrong of 20: <b>"}
    notes = {"agreement": [FIGURE, pair, undefined], "audit": [statement], "open": {"ast_Latn": 3}}
    text = review_section(lineage(notes), rows(True))
    assert "without an answer (the audit does not speak of them): Asturian 3." in text
    assert "| Asturian | explanation | 1 |" in text
    assert "| 0.50 | 0.25 to 0.75 | 12 | 2 |" in text and "kappa" not in text
    assert "one value \\| only" in text
    assert "0 wrong of 20: &lt;b&gt;" in text


def test_what_is_not_known_is_said() -> None:
    text = review_section(lineage({}), rows())
    assert "No row was changed" in text
    assert "no item was answered by two people" in text
    assert "nothing is known of the rows that nobody looked at" in text
