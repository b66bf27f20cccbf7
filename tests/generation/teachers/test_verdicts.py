"""The verdict's log-probability from tokens as text."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whyguard.generation.teachers.verdicts import verdict_logprob


def test_only_the_tokens_of_the_verdict_count() -> None:
    pieces = [("<think>a</think>", -9.0), ("<judge>", -1.0), ("harm", -0.5), ("ful", -0.25),
              ("</judge>", -4.0)]  # fmt: skip
    assert verdict_logprob(pieces) == pytest.approx(-0.75)


def test_a_token_over_a_border_counts_whole() -> None:
    assert verdict_logprob([("<judge", -1.0), (">un", -0.5), ("harmful</", -0.25), ("judge>", -2.0)
                            ]) == pytest.approx(-0.75)  # fmt: skip


def test_blanks_around_the_verdict_do_not_count() -> None:
    pieces = [("<judge>", -1.0), (" ", -2.0), ("harmful", -0.5), ("\n", -4.0), ("</judge>", -8.0)]
    assert verdict_logprob(pieces) == pytest.approx(-0.5)


@pytest.mark.parametrize("spacing", [(",", ":"), (", ", ": "), (" ,\n", "  :\n ")])
def test_the_json_form_with_any_spacing(spacing: tuple[str, str]) -> None:
    text = json.dumps({"think": "a", "judge": "unharmful", "violations": []}, separators=spacing)
    pieces = [(letter, -0.5) for letter in text]
    assert verdict_logprob(pieces) == pytest.approx(-0.5 * len("unharmful"))


def test_of_several_verdicts_the_last_counts() -> None:
    pieces = [("<judge>harmful</judge>", -5.0), (" but ", -1.0), ("<judge>", -1.0),
              ("unharmful", -0.5), ("</judge>", -1.0)]  # fmt: skip
    assert verdict_logprob(pieces) == pytest.approx(-0.5)


def test_a_verdict_quoted_in_a_json_string_is_none() -> None:
    think = 'it says <judge>harmful</judge> and "judge": "harmful"'
    text = json.dumps({"judge": "unharmful", "think": think})
    pieces = [(letter, -1.0) for letter in text]
    assert verdict_logprob(pieces) == pytest.approx(-float(len("unharmful")))
    assert verdict_logprob([(json.dumps({"think": think}), -1.0)]) is None


@pytest.mark.parametrize("text", [
    "", "harmful", "<judge>maybe</judge>", "<judge>harmful", "<judge>Harmful</judge>",
    "<judge>harmful unharmful</judge>", '{"judge": 1}', '{"verdict": "harmful"}',
])  # fmt: skip
def test_no_verdict_is_none(text: str) -> None:
    assert verdict_logprob([(text, -1.0)]) is None


@given(st.lists(st.integers(1, 12), max_size=30), st.sampled_from(["harmful", "unharmful"]),
       st.booleans())  # fmt: skip
def test_however_a_text_is_cut_the_overlapping_tokens_count(cuts: list[int], verdict: str,
                                                            as_json: bool) -> None:  # fmt: skip
    text = (json.dumps({"think": "why", "judge": verdict}) if as_json
            else f"<think>why</think><judge> {verdict} </judge>")  # fmt: skip
    start = text.rindex(verdict)
    pieces, expected, place = [], 0.0, 0
    for number, width in enumerate([*cuts, len(text)], start=1):
        piece = text[place : place + width]
        pieces.append((piece, -float(number)))
        if place < start + len(verdict) and place + len(piece) > start:
            expected -= number
        place += len(piece)
    assert verdict_logprob(pieces) == pytest.approx(expected)
