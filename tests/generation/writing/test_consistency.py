"""Votes and entropy are pure functions of verdicts."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.generation.making import trace

from whyguard.generation.writing.consistency import entropy_bits, vote_shares, with_votes

VERDICTS = st.lists(st.sampled_from(["harmful", "unharmful"]), min_size=1, max_size=30)


@given(VERDICTS)
def test_shares_and_entropy(verdicts: list[str]) -> None:
    shares = vote_shares(verdicts)
    assert sum(shares.values()) == pytest.approx(1.0)
    assert all(shares[v] == pytest.approx(verdicts.count(v) / len(verdicts)) for v in shares)
    bits = entropy_bits(shares.values())
    assert 0.0 <= bits <= 1.0
    assert (bits == 0.0) == (len(shares) == 1)
    assert math.copysign(1, bits) == 1, "no negative zero"


@given(VERDICTS, st.randoms())
def test_the_order_of_votes_does_not_count(verdicts: list[str], random: Any) -> None:
    mixed = random.sample(verdicts, len(verdicts))
    assert vote_shares(mixed) == vote_shares(verdicts)


def test_known_values() -> None:
    assert vote_shares([]) == {}
    assert entropy_bits([]) == 0.0
    assert entropy_bits([0.5, 0.5]) == 1.0
    assert entropy_bits([0.75, 0.25]) == pytest.approx(0.8113, abs=1e-4)


def test_each_row_has_its_own_share_and_its_prompts_entropy() -> None:
    rows = [trace(0, sample=0), trace(0, sample=1), trace(0, sample=2, verdict="unharmful"),
            trace(1, sample=0)]  # fmt: skip
    done = with_votes(rows)
    assert [row["vote_share"] for row in done] == [pytest.approx(2 / 3)] * 2 + [
        pytest.approx(1 / 3), None
    ]  # fmt: skip
    assert [row["entropy"] for row in done] == [pytest.approx(0.9183, abs=1e-4)] * 3 + [None]
    assert "vote_share" not in rows[0], "the given rows stay as they are"
