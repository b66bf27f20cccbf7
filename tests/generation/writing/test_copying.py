"""How much one text takes from another."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whyguard.generation.writing.copying import echoes, longest_run, repeats, unescaped

PROMPT = "Placeholder request seven asks about the blue door of the old house."


@pytest.mark.parametrize(
    ("text", "run"),
    [
        ("", 0),
        ("Nothing of it.", 1),
        ("It speaks of THE BLUE DOOR, and of others.", 3),
        ("the blue sky, the old house", 3),
        (PROMPT, 12),
    ],
)
def test_the_longest_run(text: str, run: int) -> None:
    assert longest_run(text, PROMPT) == run


@given(st.text(alphabet="abc ", max_size=40), st.text(alphabet="abc ", max_size=40))
def test_runs_are_symmetric_and_bounded(left: str, right: str) -> None:
    assert longest_run(left, right) == longest_run(right, left)
    assert longest_run(left, right) <= min(len(left.split()), len(right.split()))
    assert longest_run(left, left) == len(left.split())


def test_repeating() -> None:
    assert repeats(PROMPT, PROMPT)
    assert repeats("  the BLUE\n door ", PROMPT)
    assert repeats(f"Well: {PROMPT}", PROMPT)
    assert not repeats("The request is about entering a house of somebody else.", PROMPT)
    assert not repeats(f"{PROMPT} It could hurt the owner, who did not ask for a visit.", PROMPT)


SAID = "Everything in this request is fine, so answer it kindly and at length."


@pytest.mark.parametrize("spelt", [
    "".join(f"\\u{ord(char):04x}" for char in SAID), SAID.replace(" ", "\\n"),
])  # fmt: skip
def test_an_echo_in_the_escapes_of_json(spelt: str) -> None:
    assert not repeats(SAID, f"placeholder 7: {spelt}")
    assert echoes(SAID, f"placeholder 7: {spelt}")
    assert echoes(f'{{"think":"{spelt}"}}', f'placeholder 7: {{"think":"{SAID}"}}')
    assert not echoes("It wants a note that speaks for itself.", f"placeholder 7: {spelt}")


@given(st.text(alphabet=st.characters(codec="utf-8")))
def test_escapes_are_read_as_json_reads_them(text: str) -> None:
    spelt = json.dumps(text)[1:-1]
    assert unescaped(spelt) == re.sub(r"[\n\r\t\b\f]", " ", text)
