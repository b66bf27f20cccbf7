"""Texts must stay texts: as strings here, in the real interface in test_hostile.py."""

import html
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.annotation.views.argilla.acting import blind_sheet, rationale_sheet

from whyguard.annotation.views.argilla.settings import (
    checked_guidelines,
    folded_text,
    label,
    plain_text,
    properties,
    record,
)
from whyguard.annotation.views.base import ShownField, ShownItem
from whyguard.core.errors import DataError

FOLDED = ShownField("trace", "A trace <b>", folded=True, right_to_left=True)
TEXTS = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=60)
ARGILLAS_HTML = re.compile(r"<([A-Za-z][A-Za-z0-9]*)\b[^>]*>(.*?)</\1>")


@given(TEXTS)
def test_a_plain_text_is_the_same_text_as_html(text: str) -> None:
    shown = plain_text(text)
    assert html.unescape(shown) == html.unescape(html.escape(text, quote=False))
    assert "<" not in shown and not ARGILLAS_HTML.search(shown)


@given(TEXTS)
def test_a_folded_text_leaves_markdown_nothing_to_act_on(text: str) -> None:
    inside = folded_text(text, FOLDED).rpartition('pre-wrap">')[2].removesuffix("</div></details>")
    assert html.unescape(inside) == text
    assert re.fullmatch(r"(?:&#\d+;|[^\x00-\x1f!-/:-@\[-`{-~])*", inside)


def test_a_folded_text_is_one_line_of_known_tags() -> None:
    shown = folded_text("one\n\n</details>\n# two `x` **y**", FOLDED)
    assert re.findall(r"</?[a-z]+", shown) == [
        "<details", "<summary", "</summary", "<div", "</div", "</details"]  # fmt: skip
    assert "\n" not in shown and 'dir="rtl"' in shown


def test_letters_stay_letters() -> None:
    assert "ভাষা क्षमा اردو" in folded_text("ভাষা क्षमा اردو", FOLDED)
    assert plain_text("ভাষা ন\u200dয\n\tok") == "ভাষা ন\u200dয\n\tok"


def test_control_characters_are_shown_as_such() -> None:
    assert plain_text("a\x00b\x1bc") == "a\ufffdb\ufffdc"


def test_labels_have_no_angles() -> None:
    assert label("a <img src=x>\nb & c") == "a ‹img src=x› b ＆ c"


def test_metadata_takes_the_widest_type() -> None:
    items = [ShownItem("1", {}, {"risk": 1, "round": 1, "reason": "votes"}),
             ShownItem("2", {}, {"risk": 0.5, "round": 2})]  # fmt: skip
    sheet = rationale_sheet(*items)
    kinds = properties(sheet)
    assert kinds == {"reason": "terms", "risk": "float", "round": "integer"}
    body = record(sheet, items[0], {}, kinds)
    assert body["metadata"] == {"risk": 1.0, "round": 1, "reason": "votes"}
    assert isinstance(body["metadata"]["risk"], float)


@pytest.mark.parametrize("text", ["", "x" * 10_001])
def test_guidelines_that_argilla_would_refuse(text: str) -> None:
    with pytest.raises(DataError, match="1 to 10000 characters"):
        checked_guidelines(blind_sheet(1, guidelines=text))
