"""Attention by two matrix products, for the CPU: torch's own kernel is 2 to 4 times slower there.

At guard lengths (some hundred tokens a row) all scores of a layer fit in memory. Query heads that
share keys are folded into one product, so keys and values are never repeated; for the backward
pass, probabilities are kept in the type of the states.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

ROOM_BYTES = 1 << 26
"""Most that one layer's probabilities may take; beyond, torch's kernel (which keeps none) runs."""
_UNKNOWN = ("softcap", "s_aux", "position_bias")


def fits(query: Tensor, scores: int, kwargs: dict[str, Any]) -> bool:
    """Whether to take this instead of torch's kernel, for so many scores a head."""
    plain = not kwargs.get("dropout") and all(kwargs.get(name) is None for name in _UNKNOWN)
    room = scores * query.shape[1] * query.element_size() <= ROOM_BYTES
    return query.device.type == "cpu" and plain and room


def dense_attention(module: torch.nn.Module, query: Tensor, key: Tensor, value: Tensor,
                    mask: Tensor, scaling: float | None = None, **_: Any
                    ) -> tuple[Tensor, None]:  # fmt: skip
    """Outputs (A, Q, H, D), as attention functions of transformers give them.

    Args:
        module: unused.
        query: (A, H, Q, D).
        key: (A, G, K, D), H a multiple of G.
        value: the same.
        mask: (A or 1, 1, Q, K) to be added, in the wider of fp32 and the states' type.
        scaling: of the scores; 1 / sqrt(D) if not given.
    """
    rows, heads, width, size = query.shape
    groups = key.shape[1]
    folded = query.reshape(rows, groups, heads // groups * width, size)
    scale = size**-0.5 if scaling is None else scaling
    # as a kernel under autocast: rotary embeddings may have left queries and keys in fp32
    dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else value.dtype
    states = [state.to(dtype) for state in (folded, key, value)]
    with torch.autocast("cpu", enabled=False):
        out = _Dense.apply(*states, mask, scale)  # type: ignore[no-untyped-call]
    return out.view(rows, heads, width, size).transpose(1, 2), None


class _Dense(torch.autograd.Function):
    """softmax(scale * Q K^T + mask) V, with W = (heads a group) x Q queries a group."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor,
                scale: float) -> Tensor:  # fmt: skip
        """(A, G, W, D) from queries (A, G, W, D), keys and values (A, G, K, D)."""
        scores_A_G_W_K = torch.matmul(query, key.transpose(-1, -2)).to(mask.dtype).mul_(scale)
        by_head = scores_A_G_W_K.view(*query.shape[:2], -1, *mask.shape[-2:])
        by_head.add_(mask[:, :, None])
        probs_A_G_W_K = scores_A_G_W_K.softmax(-1).to(query.dtype)
        out = torch.matmul(probs_A_G_W_K, value)
        ctx.save_for_backward(query, key, value, probs_A_G_W_K, out)
        ctx.scale = scale
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        """Of the scores: dS = P * (dP - sum of dO * O); the rest follows from products."""
        query, key, value, probs_A_G_W_K, out = ctx.saved_tensors
        wide = torch.promote_types(query.dtype, torch.float32)
        shift_A_G_W_1 = (grad.to(wide) * out).sum(-1, keepdim=True).to(query.dtype)
        scores_A_G_W_K = torch.matmul(grad, value.transpose(-1, -2)).sub_(shift_A_G_W_1)
        scores_A_G_W_K.mul_(probs_A_G_W_K).mul_(ctx.scale)
        return (torch.matmul(scores_A_G_W_K, key),
                torch.matmul(scores_A_G_W_K.transpose(-1, -2), query),
                torch.matmul(probs_A_G_W_K.transpose(-1, -2), grad), None, None)  # fmt: skip
