"""Which rows go together: batches of like length, counted in tokens, the same in every process."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from whyguard.core.errors import ConfigError, fail

JITTER = 0.1
"""Lengths are sorted with up to this much noise, so that an epoch's batches are not the last's."""


class Share(NamedTuple):
    """A batch that one process runs."""

    rows: tuple[int, ...]
    counts: bool
    """False: only to keep step with the other processes; its loss is to weigh 0."""


def token_batches(lengths: Sequence[int], budget: int, seed: int, epoch: int = 0,
                  jitter: float = JITTER) -> list[tuple[int, ...]]:  # fmt: skip
    """Row numbers in batches: each row once, rows of like length together, batches shuffled.

    A batch's rows times its longest row is at most `budget`; a row longer than that is a batch of
    its own. Lengths, seed and epoch alone decide, so every process finds the same batches.

    Args:
        lengths: tokens of each row, without the preamble that all rows share.
        budget: padded tokens a batch, at least 1.
        seed: of the run.
        epoch: another epoch, another order.
        jitter: 0 sorts strictly by length.

    Raises:
        ConfigError: the budget is below 1.
    """
    if budget < 1:
        fail(ConfigError, where="batch_tokens", expected="at least 1", found=str(budget),
             do="give the tokens a batch may hold, for instance 2048")  # fmt: skip
    rng = np.random.default_rng([seed, epoch])
    noisy = np.asarray(lengths, dtype=np.float64) * (1 + jitter * rng.random(len(lengths)))
    tie = rng.permutation(len(lengths))
    order = [int(i) for i in np.lexsort((tie, noisy))]
    batches = list(_filled(order, lengths, budget))
    return [batches[int(i)] for i in rng.permutation(len(batches))]


def _filled(order: Sequence[int], lengths: Sequence[int], budget: int
            ) -> Iterator[tuple[int, ...]]:  # fmt: skip
    batch: list[int] = []
    longest = 0
    for row in order:
        longest = max(longest, lengths[row])
        if batch and longest * (len(batch) + 1) > budget:
            yield tuple(batch)
            batch, longest = [], lengths[row]
        batch.append(row)
    if batch:
        yield tuple(batch)


def process_steps(batches: Sequence[tuple[int, ...]], rank: int, processes: int,
                  accumulation: int) -> list[list[Share]]:  # fmt: skip
    """What process `rank` runs in each optimiser step: equally many batches in every process.

    A step takes `processes * accumulation` batches. Where the last step has too few, processes
    without one run another process's batch with weight 0: wrappers of the model wait for each
    other in every forward pass.

    Raises:
        ConfigError: there is no such process, or nothing to accumulate.
    """
    if not 0 <= rank < processes or accumulation < 1:
        fail(ConfigError, where="processes", found=f"rank {rank} of {processes}, {accumulation}",
             expected="a rank below the number of processes, and at least 1 batch a step",
             do="take rank and world size from the launcher")  # fmt: skip
    size = processes * accumulation
    steps = []
    for start in range(0, len(batches), size):
        taken = batches[start : start + size]
        rounds = -(-len(taken) // processes)
        steps.append([_share(taken, a * processes + rank) for a in range(rounds)])
    return steps


def _share(taken: Sequence[tuple[int, ...]], at: int) -> Share:
    return Share(taken[at], True) if at < len(taken) else Share(taken[0], False)
