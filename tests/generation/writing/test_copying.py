"""How much one text takes from another."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whyguard.generation.writing.copying import longest_run, repeats

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
