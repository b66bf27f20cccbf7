"""Masking and unmasking undo each other, whatever the text holds."""

import itertools
import re
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from whyguard.generation.packs.spans import Span
from whyguard.generation.translation.masking import Masked, edits_in, mask, unmask

SHARP = st.text(alphabet="⟦⟧0129 {}[]%()sd@.a#*`<>/^$\\\x00\n:htps", max_size=80)


@given(st.one_of(st.text(), SHARP))
@example("⟦0⟧ {name}")
@example("⟦ 0 ⟧⟦1⟧[[⟦0⟧]]")
@example("{⟦0⟧}")
def test_unmask_undoes_mask(text: str) -> None:
    masked = mask(text)
    assert unmask(masked.text, masked.originals) == (text, 0)


@pytest.mark.parametrize("piece", [
    "{name}", "{0}", "[[NAME]]", "%s", "%(count)d", "https://a.example/b?c=d&e=f#g",
    "ana.b+c@correo.example", "<b>", "</b>", '<a href="x">', "`rm -rf /`", "@handle", "#tema",
    "**", "#", "⟦7⟧", "\\", "{", "\x00", "{{user}}", "{{ user name }}", "{first name}",
    "[INSERT NAME]", "%(Name)s", "%(full_name)r", "${VAR}", "${HOME:-none}",
    "```\nprint('John')\n```", "```python\nx = `1`\n\ny = {a}\n```",
])  # fmt: skip
def test_protected_pieces_are_hidden(piece: str) -> None:
    masked = mask(f"uno {piece} dos")
    assert "".join(masked.originals) in (piece, piece.replace("7", ""))
    assert piece not in masked.text
    assert masked.text.startswith("uno ⟦0⟧")


@pytest.mark.parametrize(
    "text", ["Sube un 5 % de todo.", "él o ella", "a < b y c > d", "100%", "un gasto (A) de 5"]
)
def test_plain_words_stay(text: str) -> None:
    assert mask(text) == Masked(text, ())


def test_a_lost_token_is_counted_and_an_invented_one_stays() -> None:
    assert unmask("⟦1⟧ ⟦ 1⟧ ⟦9⟧", ("a", "b")) == ("b b ⟦9⟧", 1)


def test_digits_of_other_scripts_are_no_tokens() -> None:
    assert unmask("⟦٠⟧", ("a",)) == ("⟦٠⟧", 1)


@pytest.mark.parametrize(
    "part", ["a", "a.", "{", "`", "<a", "%(", "http://", "⟦", "@", "a@", "```a", "${", "[A", "{{a "]
)
def test_long_hostile_texts_take_linear_time(part: str) -> None:
    text = part * 50_000
    started = time.monotonic()
    masked = mask(text)
    assert unmask(masked.text, masked.originals) == (text, 0)
    assert time.monotonic() - started < 2.0


def span(text: str, word: str, form: str, edit: str = "") -> Span:
    start = text.index(word)
    return Span(start, start + len(word), form, edit)


def test_spans_are_masked_and_their_form_is_written() -> None:
    text = "Ask John about {this} in London."
    spans = [span(text, "London", "Uviéu", "place: London -> Uviéu"), span(text, "John", "Xuan")]
    masked = mask(text, spans)
    assert masked.text == "Ask ⟦0⟧ about ⟦1⟧ in ⟦2⟧."
    assert unmask("Entruga a ⟦0⟧ por ⟦1⟧ en ⟦2⟧.", masked.originals) == (
        "Entruga a Xuan por {this} en Uviéu.", 0
    )  # fmt: skip
    assert masked.edits == ("", "", "place: London -> Uviéu")


def test_a_span_inside_a_protected_piece_or_an_earlier_span_is_left_out() -> None:
    text = "See https://john.example/a or John Smith"
    lock, name = span(text, "John Smith", "J. S."), span(text, "John", "Xuan", "name")
    inside = Span(12, 16, "xuan", "name: john -> xuan")
    assert mask(text, [inside]) == mask(text)
    masked = mask(text, [lock, name])
    assert masked.originals == ("https://john.example/a", "J. S.")
    assert masked.edits == ("", "")


def test_nothing_in_code_is_edited() -> None:
    text = "John runs ```\nprint('John')\n``` and `John`"
    spans = [Span(match.start(), match.end(), "Xuan", "e") for match in re.finditer("John", text)]
    masked = mask(text, spans)
    assert masked.text == "⟦0⟧ runs ⟦1⟧ and ⟦2⟧"
    assert unmask(masked.text, masked.originals)[0] == text.replace("John", "Xuan", 1)


def test_a_fence_that_nothing_closes_is_no_code() -> None:
    assert "la casa" in mask("``` la casa").text
    assert "dos" in mask("{uno\ndos}").text and "dos" in mask("{" + "dos " * 20 + "}").text


def test_edits_count_where_their_token_came_back() -> None:
    text = "John and John met Ann"
    spans = [Span(0, 4, "Xuan", "name: John -> Xuan"), Span(9, 13, "Xuan", "name: John -> Xuan"),
             Span(18, 21, "Ana", "name: Ann -> Ana")]  # fmt: skip
    masked = mask(text, spans)
    assert edits_in("⟦0⟧ y ⟦1⟧", masked) == ("name: John -> Xuan",)
    assert unmask("⟦0⟧ y ⟦1⟧", masked.originals) == ("Xuan y Xuan", 1)


@given(text=st.text(max_size=60), cuts=st.lists(st.integers(0, 60), min_size=2, max_size=8))
def test_what_spans_leave_is_untouched(text: str, cuts: list[int]) -> None:
    places = sorted(min(cut, len(text)) for cut in cuts)
    spans = [Span(a, b, text[a:b], "") for a, b in itertools.pairwise(places)]
    masked = mask(text, spans)
    assert unmask(masked.text, masked.originals) == (text, 0)
