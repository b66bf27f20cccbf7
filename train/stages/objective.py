"""What a stage computes of a batch of rows: the SFT objective, and what all objectives share.

Imported only by code that trains: it needs torch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from torch import Tensor

from whyguard.train.fast.batch import make_batch
from whyguard.train.fast.losses import weighted_nll
from whyguard.train.segments import IGNORED, Encoded


class Part(NamedTuple):
    """What one forward pass brings."""

    loss: Tensor
    """Scalar with gradients: the rows' share of the step's loss."""
    sums: tuple[Tensor, ...]
    """One sum a metric of `Objective.metrics`, and how many values are in it."""
    counts: tuple[int, ...]


class Moment(NamedTuple):
    """Where in a training a batch stands."""

    step: int
    """Optimiser steps done."""
    total: int
    rows: int
    """Rows of this optimiser step (or evaluation), over all processes and batches."""
    evaluating: bool = False
    """An evaluation, comparable between steps: nothing may follow a schedule."""


class Objective(Protocol):
    """The loss of some rows. Rows are numbers of the stage's training rows."""

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the means that are logged beside the loss."""

    def batch(self, rows: Sequence[int]) -> Any:
        """What `part` takes, on the CPU; has a method `to(device)`."""

    def part(self, model: Any, batch: Any, moment: Moment) -> Part:
        """The loss of a batch, through the model's (or its wrapper's) forward."""

    def tokens(self, row: int) -> int:
        """Input tokens of a row."""

    def name(self, row: int) -> str:
        """The row's id, for messages."""


@dataclass(frozen=True, slots=True)
class SftObjective:
    """loss = sum over tokens of weight * NLL, divided by the rows of the optimiser step."""

    rows: Sequence[Encoded]
    ids: Sequence[str]
    share: bool = True
    metrics: tuple[str, ...] = ("token_nll",)

    def batch(self, rows: Sequence[int]) -> Any:
        """See Objective."""
        return make_batch([self.rows[row] for row in rows], share=self.share)

    def part(self, model: Any, batch: Any, moment: Moment) -> Part:
        """See Objective."""
        found = weighted_nll(model, batch)
        return Part(found.total / moment.rows, (found.values_N.sum(),), (len(found.values_N),))

    def tokens(self, row: int) -> int:
        """See Objective."""
        return len(self.rows[row].input_ids)

    def name(self, row: int) -> str:
        """See Objective."""
        return self.ids[row]


def shared_length(rows: Sequence[Encoded]) -> int:
    """How many tokens all rows begin with."""
    first, *others = (row.input_ids for row in rows)
    common = len(first)
    for ids in others:
        common = next((i for i, (a, b) in enumerate(zip(first[:common], ids, strict=False))
                       if a != b), min(common, len(ids)))  # fmt: skip
    return common


def completion_length(row: Encoded) -> int:
    """Tokens that are predicted."""
    return sum(label != IGNORED and weight != 0
               for label, weight in zip(row.labels, row.loss_weights, strict=True))  # fmt: skip
