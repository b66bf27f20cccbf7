"""The fewest seconds a step of ours can take: its operations over the machine's matmul rate.

The rate is measured on the shapes of the model's own largest multiplications, forward and both
backward products, in the arithmetic of the run (bf16 autocast), best of several: no step can be
faster than all of its multiplications at their best.
"""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

from bench.trainer_data import Data

_REPEATS = 7


class Floor(NamedTuple):
    """Operations of a step, and what this machine does a second."""

    operations: float
    rate: float

    @property
    def seconds(self) -> float:
        """The fewest a step can take."""
        return self.operations / self.rate


def floor_of(model: Any, batches: list[Data], trained: Callable[[Data], list[Any]],
             lora: bool) -> Floor:  # fmt: skip
    """Of the mean step: `trained` gives the encoded rows of a batch."""
    from whyguard.train.fast.floor import RowLengths, Trained, model_shape, step_cost

    kind = Trained.ADAPTERS if lora else Trained.FULL
    shape, total = model_shape(model.config), 0.0
    for data in batches:
        shared = len(data.preamble)
        rows = [RowLengths(shared, len(row.input_ids) - shared,
                           sum(weight > 0 for weight in row.loss_weights))
                for row in trained(data)]  # fmt: skip
        total += step_cost(shape, rows, kind).total
    text = model.config.get_text_config(decoder=True)
    return Floor(total / len(batches), matmul_rate(text.hidden_size, text.intermediate_size))


def matmul_rate(width: int, inner: int, tokens: int = 1024) -> float:
    """Operations a second of a gated MLP's product, forward and backward, at its best."""
    import torch

    x_T_D = torch.randn(tokens, width, requires_grad=True)
    weight = torch.randn(inner, width, requires_grad=True)
    best = float("inf")
    for _ in range(_REPEATS):
        started = time.perf_counter()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            out = torch.nn.functional.linear(x_T_D, weight)
        torch.autograd.backward(out, torch.ones_like(out))
        best = min(best, time.perf_counter() - started)
        x_T_D.grad = weight.grad = None
    return 3 * 2.0 * tokens * width * inner / best
