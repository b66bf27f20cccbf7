"""The search box: any part of a text is found, and nothing that is typed is an operator but `-`."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whyguard.annotation.embedded.words import field_text, fold, terms


@pytest.mark.parametrize(
    ("typed", "wanted", "unwanted"),
    [
        ("one Two", ("one", "two"), ()),
        ('"one  two" three', ("one  two", "three"), ()),
        ("-one two", ("two",), ("one",)),
        ('-"one two"', (), ("one two",)),
        ("two-one", ("two-one",), ()),
        ('"open', ("open",), ()),
        ("", (), ()),
        ('"" -', ("-",), ()),
        ("a AND b* OR (c)", ("a", "and", "b*", "or", "(c)"), ()),
        ("' OR 1=1 --", ("'", "or", "1=1"), ("-",)),
    ],
)
def test_terms_of_what_is_typed(
    typed: str, wanted: tuple[str, ...], unwanted: tuple[str, ...]
) -> None:
    assert terms(typed) == (wanted, unwanted)


@given(st.text())
def test_folding_twice_changes_nothing_more_and_joins_what_is_written_in_two_ways(
    text: str,
) -> None:
    assert fold(unicodedata.normalize("NFD", text)) == fold(unicodedata.normalize("NFC", text))


_SIGNS = st.characters(exclude_categories=("Cs", "Zs", "Cc", "Zl", "Zp"), exclude_characters='"')


@given(st.text(_SIGNS, min_size=1).filter(lambda text: not text.startswith("-")))
def test_a_word_is_one_term_however_odd_it_is(word: str) -> None:
    assert terms(word).wanted == ((fold(word),) if not word.isspace() else ())


def test_marks_tell_words_apart() -> None:
    assert fold("bọ́ǹbù") != fold("bonbu")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a &lt; b &amp; c", "a < b & c"),
        (None, ""),
        ("data:image/png;base64,AAAA", ""),
        ([{"role": "user", "content": "eins"}, {"role": "bot", "content": "zwei"}], "eins\nzwei"),
        ({"key": "ñ"}, '{"key": "ñ"}'),
    ],
)
def test_text_of_a_field(value: object, text: str) -> None:
    assert field_text(value) == text
