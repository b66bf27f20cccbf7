"""Splitting and joining undo each other; cuts fall where sentences end, in many scripts."""

import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from whyguard.generation.translation.masking import TOKEN, mask
from whyguard.generation.translation.sentences import split

SHARP = st.text(alphabet="⟦⟧012 .!?…।؟。,;\n\r\t\u2028\x85aBé\u0301\u200d👩\"')", max_size=120)
SIZES = st.integers(20, 60)


@given(st.one_of(st.text(), SHARP), SIZES)
@example("a\r\n\n  b \u2028 c", 20)
@example("⟦0⟧" * 30, 20)
def test_joining_gives_the_text_back(text: str, size: int) -> None:
    cut = split(text, size)
    assert cut.join(cut.pieces) == text
    assert len(cut.separators) == len(cut.pieces) + 1
    assert all(piece and piece == piece.strip() for piece in cut.pieces)
    assert not any(separator.strip() for separator in cut.separators)


@given(st.one_of(st.text(), SHARP), SIZES)
def test_no_token_is_cut(text: str, size: int) -> None:
    masked = mask(text)
    pieces = split(masked.text, size).pieces
    assert sum(len(TOKEN.findall(piece)) for piece in pieces) == len(masked.originals)


@given(st.text(alphabet="ab .", min_size=1, max_size=300), SIZES)
def test_pieces_keep_to_the_length(text: str, size: int) -> None:
    assert all(len(piece) <= size for piece in split(text, size).pieces)


@pytest.mark.parametrize("text", [
    "One sentence here. Another one there! A third one? Yes, it is…",
    "यह एक वाक्य है। यह दूसरा है। क्या यह तीसरा है?",
    "یہ ایک جملہ ہے۔ کیا یہ دوسرا ہے؟ یہ تیسرا ہے۔",
    "هذه جملة أولى. هل هذه ثانية؟ هذه ثالثة!",
    "ဤသည်ဝါကျ။ ဤသည်ဒုတိယ။ ဤသည်တတိယ။",
    "ይህ ዓረፍተ ነገር ነው። ይህ ሁለተኛ ነው። ይህ ሦስተኛ ነው።",
    "นี่คือประโยค! นี่คือที่สอง! นี่คือที่สาม!",
    "នេះជាប្រយោគ។ នេះជាទីពីរ។ នេះជាទីបី។",
    "ꦲꦶꦏꦶ꧉ ꦲꦶꦏꦸ꧉ ꦲꦶꦏꦲ꧉ ꦲꦶꦏꦶꦲꦶꦏꦶ꧉ ꦲꦶꦏꦸꦲꦶꦏꦸ꧉",
])  # fmt: skip
def test_cuts_fall_at_ends_of_sentences(text: str) -> None:
    pieces = split(text, 25).pieces
    assert len(pieces) > 1
    assert all(not piece[-1].isalnum() for piece in pieces)
    assert " ".join(pieces) == text


def test_scripts_without_blanks() -> None:
    text = "这是第一个句子。这是第二个句子！这是第三个句子？还有最后一个句子。"
    cut = split(text, 20)
    assert cut.pieces == ("这是第一个句子。这是第二个句子！", "这是第三个句子？还有最后一个句子。")
    assert cut.separators == ("", "", "")
    assert cut.join(("One.", "Two."), spaced=True) == "One. Two."
    assert cut.join(("One.", "Two.")) == "One.Two."


def test_lines_stay_apart_and_short_ones_whole() -> None:
    cut = split("  First. Second.\n\n- item one.\r\nlast  ", 40)
    assert cut.pieces == ("First. Second.", "- item one.", "last")
    assert cut.separators == ("  ", "\n\n", "\r\n", "  ")


@pytest.mark.parametrize(("text", "pieces"), [
    ("The cat of J. Smith slept. It was late.", ("The cat of J. Smith slept.", "It was late.")),
    ("It cost 3.50 euros at noon. Then it rose.", ("It cost 3.50 euros at noon.", "Then it rose.")),
    ("She met the team, i.e. my friends. Good.", ("She met the team, i.e. my friends.", "Good.")),
])  # fmt: skip
def test_stops_inside_sentences(text: str, pieces: tuple[str, ...]) -> None:
    assert split(text, len(text) - 2).pieces == pieces


def test_a_long_sentence_is_cut_at_clauses_then_blanks_then_anywhere() -> None:
    assert split("first part of it, second part of it", 25).pieces[0] == "first part of it,"
    assert split("word " * 9, 22).pieces[0] == "word word word word"
    assert split("x" * 50, 20).pieces == ("x" * 20, "x" * 20, "x" * 10)
    marked = split("e\u0301" * 30, 21).pieces
    assert all(not piece.startswith("\u0301") for piece in marked)


@pytest.mark.parametrize("part", ["a.", ". ", ".", "a", "A b. ", "⟦0⟧", ", ", "e\u0301", "\n"])
def test_long_hostile_texts_take_linear_time(part: str) -> None:
    text = part * 50_000
    started = time.monotonic()
    cut = split(text, 250)
    assert cut.join(cut.pieces) == text
    assert time.monotonic() - started < 4.0
