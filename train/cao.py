"""The loss of CAO, constrained alignment optimisation, as pure functions of tensors.

Imported only by code that trains: it needs torch.

    loss = mean over rows of -log sigmoid(beta * ((policy - reference log-probability of the chosen
           completion) - (the same of the rejected one)))
         + lam * mean over rows of (mean over the tokens of the row's anchor completion of
           KL(reference || policy))

The anchor is the chosen completion on the English prompt: there the policy should stay what it was.

Source: ConsistentGuard (arXiv 2510.10677), section on CAO; DPO (arXiv 2305.18290), eq. 7.

Differences from the code published with ConsistentGuard:
1. distributions are softmaxes; the published code divides raw logits by their sum and clamps at
   1e-9, so that negative logits vanish and a constant added to all logits changes the result;
2. only tokens of the anchor completion count; the published code counts prompt positions too;
3. the divergence is averaged within a row, then over rows; the published code averages all tokens
   of a batch, so that long anchors weigh more;
4. NaN stays NaN, to be stopped at; the published code writes 0 for NaN and for values under 1e-9;
5. the anchor has a weight `lam`, and a schedule of it (`train/lam.py`); in the published code the
   weight is 1;
6. log-probabilities may be divided by the completion's length (TRL's `sigmoid_norm`).
"""

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import logsigmoid

from whyguard.core.errors import ConfigError, DataError, fail

CHUNK = 64
"""Positions of which float copies of the logits exist at one time."""


class CaoLoss(NamedTuple):
    """The loss of a batch and what it is made of. Only `loss` carries a gradient."""

    loss: Tensor
    """Scalar: preference + lam * anchor."""
    preference: Tensor
    """Scalar: the DPO loss."""
    anchor: Tensor
    """Scalar, nats a token: mean of the rows' divergences, without lam."""
    margins_B: Tensor
    """beta times the difference of the two log-ratios of each row."""
    accuracy: Tensor
    """Scalar: share of rows whose margin is above 0."""


def cao_loss(
    policy_chosen_logps_B: Tensor,
    policy_rejected_logps_B: Tensor,
    ref_chosen_logps_B: Tensor,
    ref_rejected_logps_B: Tensor,
    anchor_kl_B: Tensor,
    beta: float,
    lam: float,
    *,
    chosen_lengths_B: Tensor | None = None,
    rejected_lengths_B: Tensor | None = None,
) -> CaoLoss:
    """The loss of B rows, in float32 or the inputs' wider type.

    Args:
        policy_chosen_logps_B: summed log-probability of each chosen completion, policy.
        policy_rejected_logps_B: of each rejected completion, policy.
        ref_chosen_logps_B: of each chosen completion, reference: constants.
        ref_rejected_logps_B: of each rejected completion, reference: constants.
        anchor_kl_B: each row's anchor divergence, from `anchor_kl`.
        beta: how strongly the preference holds on to the reference; TRL's DPO beta.
        lam: weight of the anchor. With 0 the loss is DPO's, whatever the anchor is, NaN included.
        chosen_lengths_B: tokens of the chosen completions; with it, log-ratios are a token.
        rejected_lengths_B: tokens of the rejected completions; both lengths or none.

    Raises:
        ConfigError: beta is not above 0, lam is negative, either is not finite, or only one of the
            lengths is given.
        DataError: there are no rows, or the tensors do not all have the shape (B,).
    """
    _check_weights(beta, lam, (chosen_lengths_B is None) != (rejected_lengths_B is None))
    parts = (policy_chosen_logps_B, policy_rejected_logps_B, ref_chosen_logps_B,
             ref_rejected_logps_B, anchor_kl_B)  # fmt: skip
    lengths = [n for n in (chosen_lengths_B, rejected_lengths_B) if n is not None]
    _check_rows([*parts, *lengths])
    chosen_B, rejected_B, ref_chosen_B, ref_rejected_B, kl_B = (_wide(part) for part in parts)
    chosen_ratio_B = chosen_B - ref_chosen_B.detach()
    rejected_ratio_B = rejected_B - ref_rejected_B.detach()
    if lengths:
        chosen_ratio_B = chosen_ratio_B / lengths[0].clamp(min=1)
        rejected_ratio_B = rejected_ratio_B / lengths[1].clamp(min=1)
    margins_B = beta * (chosen_ratio_B - rejected_ratio_B)
    preference, anchor = -logsigmoid(margins_B).mean(), kl_B.mean()
    loss = preference if lam == 0 else preference + lam * anchor
    shown_B = margins_B.detach()
    accuracy = (shown_B > 0).to(shown_B.dtype).mean()
    return CaoLoss(loss, preference.detach(), anchor.detach(), shown_B, accuracy)


def anchor_kl(policy_logits_BTV: Tensor, ref_logits_BTV: Tensor, mask_BT: Tensor, *,
              chunk: int = CHUNK) -> Tensor:  # fmt: skip
    """KL(reference || policy) of each row in nats, mean over its masked positions.

    Position t holds the logits of the token after t: the caller has shifted logits or mask, so that
    the mask is on where the next token belongs to the completion.

    Computed in float32 or the inputs' wider type, `chunk` positions at a time in both directions:
    beside the logits that come in and the gradient that goes out (in the logits' own type), nothing
    of the size (B, T, V) is made. The gradient is the closed form (policy - reference probability)
    / masked positions: exactly 0 where the two are equal. The reference gets no gradient.

    A row without masked positions gives 0 with gradient 0: such rows are padding, and asking for
    them would make a device wait. What stands at positions outside the mask has no influence, NaN
    included. An entry that both put at -inf counts nothing.

    Args:
        policy_logits_BTV: logits of the model that is trained.
        ref_logits_BTV: logits of the frozen reference.
        mask_BT: bool or 0/1, on at the positions that count.
        chunk: positions at a time; changes memory, not the result.

    Returns:
        kl_B, at least 0.

    Raises:
        ConfigError: chunk is under 1.
        DataError: the shapes do not fit.
    """
    if chunk < 1:
        fail(ConfigError, where="anchor_kl", expected="a chunk of 1 or more", found=str(chunk),
             do="leave chunk out")  # fmt: skip
    if policy_logits_BTV.shape != ref_logits_BTV.shape or (
        policy_logits_BTV.ndim != 3 or mask_BT.shape != policy_logits_BTV.shape[:2]
    ):
        shapes = (policy_logits_BTV.shape, ref_logits_BTV.shape, mask_BT.shape)
        fail(DataError, where="anchor_kl", expected="logits (B, T, V) twice and a mask (B, T)",
             found=", ".join(str(tuple(shape)) for shape in shapes),
             do="cut both sides to the same positions")  # fmt: skip
    kl_B: Tensor = _AnchorKl.apply(  # type: ignore[no-untyped-call]  # torch's
        policy_logits_BTV, ref_logits_BTV.detach(), mask_BT.bool(), chunk
    )
    return kl_B


class _AnchorKl(torch.autograd.Function):
    """Forward and backward over chunks of positions; softmaxes are computed twice, not kept."""

    @staticmethod
    def forward(ctx: Any, policy_BTV: Tensor, ref_BTV: Tensor, mask_BT: Tensor,
                chunk: int) -> Tensor:  # fmt: skip
        kind = torch.promote_types(_float_of(policy_BTV), _float_of(ref_BTV))
        share_BT = mask_BT.to(kind) / mask_BT.sum(1, keepdim=True).clamp(min=1)
        ctx.save_for_backward(policy_BTV, ref_BTV, mask_BT, share_BT)
        ctx.chunk = chunk
        kl_B = share_BT.new_zeros(len(mask_BT))
        for at in _chunks(mask_BT.shape[1], chunk):
            kl_BC = _token_kl(policy_BTV[:, at].to(kind), ref_BTV[:, at].to(kind))
            kl_B += (kl_BC.masked_fill(~mask_BT[:, at], 0.0) * share_BT[:, at]).sum(1)
        return kl_B

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_B: Tensor) -> tuple[Tensor | None, None, None, None]:
        policy_BTV, ref_BTV, mask_BT, share_BT = ctx.saved_tensors
        grad_BTV = torch.empty_like(policy_BTV)
        for at in _chunks(mask_BT.shape[1], ctx.chunk):
            slope_BCV = policy_BTV[:, at].to(share_BT.dtype).softmax(-1)
            slope_BCV -= ref_BTV[:, at].to(share_BT.dtype).softmax(-1)
            slope_BCV *= (grad_B[:, None] * share_BT[:, at])[..., None]
            grad_BTV[:, at] = slope_BCV.masked_fill_(~mask_BT[:, at, None], 0.0)
        return grad_BTV, None, None, None


def _token_kl(policy_BCV: Tensor, ref_BCV: Tensor) -> Tensor:
    """KL (B, C) of each position; rounding never takes it under 0."""
    policy_logp_BCV, ref_logp_BCV = policy_BCV.log_softmax(-1), ref_BCV.log_softmax(-1)
    ref_p_BCV = ref_logp_BCV.exp()
    each_BCV = ref_p_BCV * (ref_logp_BCV - policy_logp_BCV)
    return each_BCV.masked_fill_(ref_p_BCV == 0, 0.0).sum(-1).clamp(min=0.0)


def _chunks(total: int, size: int) -> list[slice]:
    return [slice(start, start + size) for start in range(0, total, size)]


def _float_of(tensor: Tensor) -> torch.dtype:
    return torch.promote_types(tensor.dtype, torch.float32)


def _wide(tensor: Tensor) -> Tensor:
    return tensor.to(_float_of(tensor))


def _check_weights(beta: float, lam: float, half: bool) -> None:
    if not (math.isfinite(beta) and beta > 0 and math.isfinite(lam) and lam >= 0):
        fail(ConfigError, where="CAO loss", expected="beta above 0 and lam of 0 or more",
             found=f"beta {beta}, lam {lam}", do="the paper has beta 0.1 and lam 1")  # fmt: skip
    if half:
        fail(ConfigError, where="CAO loss", expected="the lengths of both completions, or neither",
             found="one of them", do="give chosen_lengths_B and rejected_lengths_B")  # fmt: skip


def _check_rows(tensors: list[Tensor]) -> None:
    shapes = {tuple(tensor.shape) for tensor in tensors}
    if len(shapes) > 1 or tensors[0].ndim != 1 or not len(tensors[0]):
        fail(DataError, where="CAO loss", expected="tensors of one shape (B,), B of 1 or more",
             found=", ".join(str(shape) for shape in sorted(shapes)),
             do="sum log-probabilities over tokens, and give one value a row")  # fmt: skip
