"""Which traces contradict themselves, and which of the accepted ones is chosen."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.generation.making import trace

from whyguard.generation.writing.accept import best_first, contradiction, overlap, surplus

MEASURED: dict[str, Any] = {"logprob": None}


def known(prompt_id: str) -> tuple[str, ...]:
    return ("S2",) if "-h" in prompt_id else ()


def sample(number: int, **other: Any) -> dict[str, Any]:
    return trace(0, sample=number) | MEASURED | other


def test_contradictions() -> None:
    assert contradiction(trace(0)) is None
    assert contradiction(trace(0, "unharmful")) is None
    assert contradiction(trace(0, violations=[])) == "harmful, and no rule broken"
    assert (
        contradiction(trace(0, "unharmful", violations=["S2"])) == "unharmful, and 1 rules broken"
    )


@pytest.mark.parametrize(
    ("named", "categories", "share"),
    [(["S2"], ["S2"], 1.0), (["S2", "S7"], ["S2"], 0.5), (["S7"], ["S2"], 0.0), ([], [], 1.0)],
)
def test_overlap(named: list[str], categories: list[str], share: float) -> None:
    assert overlap(trace(0, violations=named), categories) == share


def test_the_stated_order() -> None:
    rows = [
        sample(0, violations=["S2", "S7"], logprob=-0.1),
        sample(1, logprob=-2.0, think="long " * 9),
        sample(2, logprob=-2.0, think="short text"),
        sample(3, logprob=None),
        sample(4, logprob=-0.5),
        sample(5, logprob=-2.0, think="same length"),
    ]
    assert [row["sample"] for row in best_first(rows, known)] == [4, 2, 5, 1, 3, 0]


@given(st.lists(st.tuples(st.integers(0, 3), st.none() | st.floats(-9, 0)), max_size=12),
       st.integers(1, 4))  # fmt: skip
def test_at_most_so_many_a_prompt_and_never_fewer_than_there_are(
    made: list[tuple[int, float | None]], keep: int
) -> None:
    rows = [trace(n, sample=i, logprob=logprob) for i, (n, logprob) in enumerate(made)]
    over = surplus(rows, keep, known)
    for prompt_id in {row["prompt_id"] for row in rows}:
        own = [row for row in rows if row["prompt_id"] == prompt_id]
        left = [row for row in own if (prompt_id, row["sample"]) not in over]
        assert len(left) == min(keep, len(own))
