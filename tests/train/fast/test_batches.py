"""train/fast/batches.py: every row once, the same everywhere, full steps for every process."""

import subprocess
import sys
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whyguard.core.errors import ConfigError
from whyguard.train.fast.batches import process_steps, token_batches

LENGTHS = st.lists(st.integers(1, 200), max_size=60)
SEEDS = st.integers(0, 2**31)


@settings(max_examples=200, deadline=None)
@given(lengths=LENGTHS, budget=st.integers(1, 900), seed=SEEDS, epoch=st.integers(0, 9))
def test_every_row_once_within_the_budget(
    lengths: list[int], budget: int, seed: int, epoch: int
) -> None:
    batches = token_batches(lengths, budget, seed, epoch)
    assert sorted(row for batch in batches for row in batch) == list(range(len(lengths)))
    for batch in batches:
        padded = len(batch) * max(lengths[row] for row in batch)
        assert padded <= budget or len(batch) == 1
    assert token_batches(lengths, budget, seed, epoch) == batches


@settings(max_examples=100, deadline=None)
@given(lengths=LENGTHS, seed=SEEDS)
def test_without_jitter_no_two_batches_overlap_in_length(lengths: list[int], seed: int) -> None:
    batches = token_batches(lengths, 400, seed, jitter=0.0)
    spans = sorted((min(lengths[r] for r in b), max(lengths[r] for r in b)) for b in batches)
    assert all(left[1] <= right[0] for left, right in pairwise(spans))


def test_seeds_and_epochs_give_other_orders_and_lengths_stay_together() -> None:
    lengths = [10 + (7 * i) % 90 for i in range(400)]
    first = token_batches(lengths, 800, seed=1)
    assert first != token_batches(lengths, 800, seed=2)
    assert first != token_batches(lengths, 800, seed=1, epoch=1)
    longest = [max(lengths[r] for r in batch) for batch in first]
    assert longest != sorted(longest)
    padded = sum(len(b) * max(lengths[r] for r in b) for b in first)
    assert padded < 1.25 * sum(lengths)


def test_another_process_finds_the_same_batches() -> None:
    code = ("from whyguard.train.fast.batches import token_batches;"
            "print(token_batches([5, 9, 3, 8, 8, 1, 30] * 9, 40, seed=3, epoch=2))")  # fmt: skip
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == str(token_batches([5, 9, 3, 8, 8, 1, 30] * 9, 40, 3, 2))


@settings(max_examples=200, deadline=None)
@given(count=st.integers(0, 40), processes=st.integers(1, 5), accumulation=st.integers(1, 4))
def test_processes_run_equally_many_batches_and_each_counts_once(
    count: int, processes: int, accumulation: int
) -> None:
    batches = [(number,) for number in range(count)]
    all_ = [process_steps(batches, rank, processes, accumulation) for rank in range(processes)]
    assert len({tuple(len(step) for step in steps) for steps in all_}) == 1
    counted = [share.rows[0] for steps in all_ for step in steps for share in step if share.counts]
    assert sorted(counted) == list(range(count))
    for number, step in enumerate(zip(*all_, strict=True)):
        rows = {share.rows[0] for shares in step for share in shares if share.counts}
        size = processes * accumulation
        assert rows == set(range(number * size, min((number + 1) * size, count)))


def test_no_budget_and_no_such_process_are_errors() -> None:
    with pytest.raises(ConfigError, match="batch_tokens"):
        token_batches([1], 0, seed=0)
    with pytest.raises(ConfigError, match="a rank below the number of processes"):
        process_steps([(0,)], 2, 2, 1)
