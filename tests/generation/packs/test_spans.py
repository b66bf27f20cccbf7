"""packs/spans.py: whole words in every script, longest first, never overlapping."""

import unicodedata
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whyguard.generation.packs.spans import (
    Span,
    cased_like,
    find,
    is_boundary,
    replaced,
)

TEXTS = st.text(alphabet="abAB é-'।कािঢাক ةوال\u200d·中文\u0301", max_size=40)
WORDS = st.lists(st.text(alphabet="abAB कাिا中\u0301 ", max_size=4), max_size=6)


def hits(text: str, *words: str) -> list[str]:
    return [text[hit.start : hit.end] for hit in find(text, words)]


@pytest.mark.parametrize(("text", "words", "found"), [
    ("John, Johnny and JOHN's", ("John",), ["John", "JOHN"]),
    ("In New York City or New  York", ("York", "New York", "New York City"),
     ["New York City", "New  York"]),
    ("New Yorkers in New", ("New York", "New"), ["New", "New"]),
    ("l'odi i l’odi, però no odis", ("odi",), ["odi", "odi"]),
    ("intel·ligència", ("intel", "ligència"), []),
    ("काम कामना कामों काम।", ("काम",), ["काम", "काम"]),
    ("कि क क", ("क",), ["क", "क"]),
    ("ঢাকা ঢাকায় ঢাকা।", ("ঢাকা",), ["ঢাকা", "ঢাকা"]),
    ("الحكومة والحكومة", ("الحكومة",), ["الحكومة"]),
    ("کراچی، کراچیوں", ("کراچی",), ["کراچی"]),
    ("我住在北京市", ("北京",), ["北京"]),
    ("ฉันอยู่กรุงเทพนะ", ("กรุงเทพ",), ["กรุงเทพ"]),
    ("cafe\u0301 cafe", ("cafe",), ["cafe"]),
    ("caf\u00e9", ("cafe\u0301",), ["caf\u00e9"]),
    ("$20 and 911 and 9110", ("$", "911"), ["$", "911"]),
    ("snake_case case", ("case",), ["case"]),
    ("xa a a", ("a a",), ["a a"]),
    ("discurs d’odi, discurs d'odi", ("discurs d'odi",), ["discurs d’odi", "discurs d'odi"]),
    ("discurs d'odi", ("discurs d’odi",), ["discurs d'odi"]),
    ("(a) a", ("(a)", "."), ["(a)"]),
    ("anything", ("", " "), []),
])  # fmt: skip
def test_words_match_whole(text: str, words: tuple[str, ...], found: list[str]) -> None:
    assert hits(text, *words) == found


@given(TEXTS, WORDS)
def test_hits_are_inside_sorted_and_apart(text: str, words: list[str]) -> None:
    found = find(text, words)
    assert all(0 <= hit.start < hit.end <= len(text) for hit in found)
    assert all(one.end <= two.start for one, two in pairwise(found))
    for hit in found:
        assert is_boundary(text, hit.start) and is_boundary(text, hit.end)
        shown = " ".join(text[hit.start : hit.end].split()).casefold()
        word = unicodedata.normalize("NFC", words[hit.word])
        assert shown == " ".join(word.split()).casefold()


@given(TEXTS, WORDS)
def test_text_outside_spans_is_unchanged(text: str, words: list[str]) -> None:
    found = find(text, words)
    spans = [Span(hit.start, hit.end, "«»", "") for hit in found]
    outside, end = [], 0
    for hit in found:
        outside.append(text[end : hit.start])
        end = hit.end
    assert replaced(text, spans).split("«»") == [*outside, text[end:]]
    assert (
        replaced(text, [span._replace(text=text[span.start : span.end]) for span in spans]) == text
    )


def test_no_boundary_before_a_mark() -> None:
    assert [at for at in range(5) if is_boundary("हिन्दी"[:4], at)] == [0, 4]
    assert is_boundary("a b", 1) and is_boundary("ab", 9) and not is_boundary("ab", 1)


@pytest.mark.parametrize(("target", "entry", "found", "shown"), [
    ("privacidá", "privacy", "Privacy", "Privacidá"), ("robu", "theft", "theft", "robu"),
    ("Xuan", "John", "john", "Xuan"), ("òdi", "hate", "HATE", "Òdi"), ("নাম", "name", "Name", "নাম"),
])  # fmt: skip
def test_capitals(target: str, entry: str, found: str, shown: str) -> None:
    assert cased_like(target, entry, found) == shown
