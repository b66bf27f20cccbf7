"""Masking and unmasking undo each other, whatever the text holds."""

import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from whyguard.generation.translation.masking import mask, unmask

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
    "**", "#", "⟦7⟧", "\\", "{", "\x00",
])  # fmt: skip
def test_protected_pieces_are_hidden(piece: str) -> None:
    masked = mask(f"uno {piece} dos")
    assert "".join(masked.originals) in (piece, piece.replace("7", ""))
    assert piece not in masked.text
    assert masked.text.startswith("uno ⟦0⟧")


@pytest.mark.parametrize("text", ["Sube un 5 % de todo.", "él o ella", "a < b y c > d", "100%"])
def test_plain_words_stay(text: str) -> None:
    assert mask(text) == (text, ())


def test_a_lost_token_is_counted_and_an_invented_one_stays() -> None:
    assert unmask("⟦1⟧ ⟦ 1⟧ ⟦9⟧", ("a", "b")) == ("b b ⟦9⟧", 1)


def test_digits_of_other_scripts_are_no_tokens() -> None:
    assert unmask("⟦٠⟧", ("a",)) == ("⟦٠⟧", 1)


@pytest.mark.parametrize("part", ["a", "a.", "{", "`", "<a", "%(", "http://", "⟦", "@", "a@"])
def test_long_hostile_texts_take_linear_time(part: str) -> None:
    text = part * 50_000
    started = time.monotonic()
    masked = mask(text)
    assert unmask(masked.text, masked.originals) == (text, 0)
    assert time.monotonic() - started < 2.0
