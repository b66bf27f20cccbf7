"""What the stages ask of a model and a guard batch; each is one forward pass.

Every function takes a model that `install` was called on, or any wrapper of it (DDP, FSDP, PEFT).
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from whyguard.core.errors import DataError, fail
from whyguard.train.fast.batch import GuardBatch
from whyguard.train.fast.head import Frozen, Head, Terms
from whyguard.train.fast.install import run


class Anchored(NamedTuple):
    """Preference rows and anchor rows of one batch, the A anchors last."""

    logps_N: Tensor
    """Log-probabilities of the preference rows' tokens, with gradients."""
    kl: Terms
    """Weight * KL(reference || policy) of the M anchor tokens."""


def token_logps(model: Any, batch: GuardBatch) -> Tensor:
    """Log-probability (N,) of each predicted token, in fp32 (or the model's wider type)."""
    result: Tensor = run(model, batch, lambda head, hidden: head.logps(hidden, batch.targets_N))
    return result


def weighted_nll(model: Any, batch: GuardBatch) -> Terms:
    """Weight * NLL of each predicted token; `.total` / rows of the step is the loss of SFT.

    Gradients of the output layer are computed in the same pass: cheaper than `token_logps` where
    the layer is trained.
    """

    def task(head: Head, hidden_N_D: Tensor) -> Terms:
        return head.nll(hidden_N_D, batch.targets_N, batch.weights_N)

    result: Terms = run(model, batch, task)
    return result


def anchor_kl_from_hidden(model: Any, batch: GuardBatch, ref_hidden_N_D: Tensor,
                          ref_head: Frozen) -> Terms:  # fmt: skip
    """Weight * KL(reference || policy) at each predicted token.

    With weights 1 / (tokens of the row) `row_sums(kl.weighted_N, batch.counts)` is each row's mean
    KL, with gradients.

    Args:
        model: the policy.
        batch: anchor rows: y_w on x_e.
        ref_hidden_N_D: the reference's last hidden states before the batch's predicted tokens.
        ref_head: the reference's output layer.

    Raises:
        DataError: the hidden states are not those of the batch.
    """
    _check_hidden(ref_hidden_N_D, len(batch.targets_N))

    def task(head: Head, hidden_N_D: Tensor) -> Terms:
        return head.kl(hidden_N_D, ref_hidden_N_D, ref_head, batch.weights_N)

    result: Terms = run(model, batch, task)
    return result


def anchored_logps(model: Any, batch: GuardBatch, anchors: int, ref_hidden_M_D: Tensor,
                   ref_head: Frozen) -> Anchored:  # fmt: skip
    """Both of the above in one pass: the last `anchors` rows of the batch are anchors.

    Raises:
        DataError: the hidden states are not those of the anchors.
    """
    split = sum(batch.counts[: batch.rows - anchors])
    _check_hidden(ref_hidden_M_D, len(batch.targets_N) - split)

    def task(head: Head, hidden_N_D: Tensor) -> Anchored:
        logps_N = head.logps(hidden_N_D[:split], batch.targets_N[:split])
        kl = head.kl(hidden_N_D[split:], ref_hidden_M_D, ref_head, batch.weights_N[split:])
        return Anchored(logps_N, kl)

    result: Anchored = run(model, batch, task)
    return result


def hidden_states(model: Any, batch: GuardBatch) -> Tensor:
    """Last hidden states (N, D) before the predicted tokens."""
    result: Tensor = run(model, batch, lambda _, hidden: hidden)
    return result


def row_sums(values_N: Tensor, counts: tuple[int, ...]) -> Tensor:
    """Sum of the values of each row, from how many each has (a slice of `GuardBatch.counts`)."""
    return torch.stack([part.sum() for part in torch.split(values_N, list(counts))])


def _check_hidden(ref_hidden_M_D: Tensor, wanted: int) -> None:
    if len(ref_hidden_M_D) != wanted:
        fail(DataError, where="anchor KL", expected=f"{wanted} hidden states of the reference",
             found=str(len(ref_hidden_M_D)),
             do="read them for the same rows, in the order of the batch")  # fmt: skip
