"""Which rows each process runs in which optimiser step: known to all, before anything runs.

The rows of a step depend on rows, seed and rows a step alone. How they are spread over processes
and forward passes depends on the token budget, and moves arithmetic about, not mathematics.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from whyguard.train.fast.batches import Share, token_batches


class StepPlan(NamedTuple):
    """One optimiser step."""

    rows: tuple[int, ...]
    """Its rows, over all processes."""
    shares: tuple[tuple[Share, ...], ...]
    """For each process, its forward passes: equally many in all (wrappers wait for each other)."""


class Spread(NamedTuple):
    """How the rows of a step are spread."""

    batch_tokens: int
    """Padded tokens a forward pass."""
    processes: int = 1
    batch_rows: int | None = None
    """At most so many rows a forward pass."""


def training_order(rows: int, epochs: int, seed: int) -> list[int]:
    """Row numbers in the order they are seen: a permutation an epoch, of the seed alone."""
    rng = np.random.default_rng(seed)
    return [int(i) for _ in range(epochs) for i in rng.permutation(rows)]


def plan_steps(order: Sequence[int], lengths: Sequence[int], rows_a_step: int, spread: Spread,
               max_steps: int | None = None) -> list[StepPlan]:  # fmt: skip
    """The steps over `order` (row numbers, repeated where rows are seen again).

    Args:
        order: rows in the order they are seen.
        lengths: tokens of each row, without what all rows share.
        rows_a_step: rows an optimiser step; the last one may have fewer.
        spread: over processes and forward passes.
        max_steps: stop after so many; where `order` is too short, it begins again.
    """
    wanted = list(order)
    if max_steps is not None:
        repeats = -(-max_steps * rows_a_step // len(wanted))
        wanted = (wanted * repeats)[: max_steps * rows_a_step]
    return [plan_step(wanted[at : at + rows_a_step], lengths, spread)
            for at in range(0, len(wanted), rows_a_step)]  # fmt: skip


def reference_pairs(batch_tokens: int, lengths: Sequence[int]) -> int:
    """Pairs a forward pass in which the reference is computed: also the longest ones fit."""
    return max(1, batch_tokens // max(lengths))


def plan_step(rows: Sequence[int], lengths: Sequence[int], spread: Spread) -> StepPlan:
    """One step: rows dealt out by length, then laid into forward passes."""
    ranked = sorted(rows, key=lambda row: -lengths[row])
    hands = [ranked[process :: spread.processes] for process in range(spread.processes)]
    batches = [_batches(hand, lengths, spread) for hand in hands]
    rounds = max(len(found) for found in batches)
    idle = Share(batches[0][0], False)
    shares = tuple((*(Share(batch, True) for batch in found), *(idle,) * (rounds - len(found)))
                   for found in batches)  # fmt: skip
    return StepPlan(tuple(rows), shares)


def _batches(hand: Sequence[int], lengths: Sequence[int], spread: Spread) -> list[tuple[int, ...]]:
    """Forward passes of one process, longest rows first: memory peaks at once, not at the end."""
    if not hand:
        return []
    found = token_batches([lengths[row] for row in hand], spread.batch_tokens, seed=0, jitter=0.0)
    size = spread.batch_rows or len(hand)
    parts = [tuple(hand[i] for i in batch[at : at + size])
             for batch in found for at in range(0, len(batch), size)]  # fmt: skip
    return sorted(parts, key=lambda part: (-max(lengths[row] for row in part), part))
