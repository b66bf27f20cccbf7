import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whyguard.curation.normalise import fold, is_blank, normalise

_AWKWARD = st.text(
    st.sampled_from(
        "ab \t\n\r\v\f\x00\x1c\x85\xa0\xad\u0300\u0301\u0338\u200b\u200c\u200d\u200e\u2028\u2029"
        "\u3000\ufeff\u0915\u093c\u1100\u1161\u11a8\U000e0041İßſ"
    )
)


@given(st.text() | _AWKWARD)
def test_normalise_is_idempotent_and_nfc(text: str) -> None:
    once = normalise(text)
    assert normalise(once) == once
    assert unicodedata.is_normalized("NFC", once)


@given(st.text() | _AWKWARD)
def test_normalise_leaves_single_blanks_and_breaks(text: str) -> None:
    found = normalise(text)
    assert found == found.strip()
    for doubled in ("  ", "\n\n", " \n", "\n ", "\t", "\r", "\u2028", "\u200b", "\ufeff"):
        assert doubled not in found


@given(st.text() | _AWKWARD)
def test_fold_ignores_case_and_normalising(text: str) -> None:
    assert fold(normalise(text)) == fold(text)
    assert "\n" not in fold(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cafe\u0301", "café"),
        ("e\u200b\u0301", "é"),
        ("a\u00a0 \tb", "a b"),
        ("one \r\n\r\n two\u2028three", "one\ntwo\nthree"),
        ("a\nb", "a\nb"),
        ("\ufeffhi\x00 th\u00adere\u202e", "hi there"),
        ("\u0915\u094d\u200d\u0937", "\u0915\u094d\u200d\u0937"),
        ("\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", "می\u200cخواهم"),
        ("tag\U000e0041s", "tags"),
    ],
)
def test_normalise_cases(text: str, expected: str) -> None:
    assert normalise(text) == expected


@pytest.mark.parametrize(
    ("text", "blank"), [("", True), ("\u200d\u200c", True), ("\u200d \u200c", True), ("a", False)]
)
def test_joiners_alone_are_blank(text: str, blank: bool) -> None:
    assert is_blank(text) is blank
