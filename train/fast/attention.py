"""Attention over a flat sequence of a token trie (see batch.py), by the model's own function.

`shared_attention` stands in for the attention function of a model. Without a `Layout` it calls the
original and nothing changes. With one it calls the original twice: for the preamble alone
(causal), and for the rows, each of whose queries see the preamble and their own past. No row ever
sees another row's tokens, and linear layers see no padding. On the CPU, `dense_attention` stands in
for torch's kernel in both calls.
"""

import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from whyguard.train.fast.batch import GuardBatch
from whyguard.train.fast.dense import dense_attention, fits

Attention = Callable[..., tuple[Tensor, Tensor | None]]

PREFIX = "guard_"
"""What the registered name of an attention function with sharing begins with."""


class Layout:
    """Who attends to whom in a batch; masks are made once and kept.

    A plain class on purpose: distributed wrappers copy or cast tuples and dataclasses they are
    handed, and `calls` has to be counted on this very object.
    """

    def __init__(self, batch: GuardBatch) -> None:
        self.batch = batch
        self.calls = 0
        self.queries_A_Q, self.keys_A_K = (
            (places - batch.preamble).clamp(min=0) for places in (batch.queries_A_Q, batch.keys_A_K)
        )
        """As in the batch, counted behind the preamble."""
        self._masks: dict[tuple[Any, ...], Tensor] = {}

    @property
    def has_rows(self) -> bool:
        """Whether any token stands behind the preamble."""
        return self.batch.own_R.numel() > 0

    @property
    def scores(self) -> int:
        """The most scores that one head computes at once."""
        keys = self.batch.preamble + self.keys_A_K.shape[1]
        return max(self.batch.preamble**2, self.queries_A_Q.numel() * keys)

    def preamble_mask(self, window: int | None, dtype: torch.dtype | None) -> Tensor | None:
        """(1, 1, P, P), or None where plain causality is enough and the function knows it."""
        width = self.batch.preamble
        if dtype is None and (window is None or width <= window):
            return None
        key = ("preamble", window, dtype)
        if key not in self._masks:
            positions_P = torch.arange(width, device=self.batch.ids_S.device)
            self._masks[key] = _mask(positions_P[None], positions_P, window, dtype)
        return self._masks[key]

    def first_key(self, window: int | None) -> int:
        """The first token of the preamble that some row's window reaches."""
        width = self.batch.preamble
        return 0 if window is None else min(width, max(0, width + 1 - window))

    def rows_mask(self, window: int | None, dtype: torch.dtype | None) -> Tensor:
        """(A or 1, 1, Q, P' + K): each row's view of the preamble (from `first_key`) and itself."""
        key = ("rows", window, dtype)
        if key not in self._masks:
            batch, device = self.batch, self.batch.ids_S.device
            starts_A = batch.preamble + batch.offsets_A
            queries_A_Q = starts_A[:, None] + torch.arange(
                batch.queries_A_Q.shape[1], device=device
            )
            end = batch.preamble + batch.keys_A_K.shape[1]
            keys_K = torch.arange(self.first_key(window), end, device=device)
            self._masks[key] = _mask(queries_A_Q, keys_K, window, dtype)
        return self._masks[key]


def _mask(queries_A_Q: Tensor, keys_K: Tensor, window: int | None,
          dtype: torch.dtype | None) -> Tensor:  # fmt: skip
    """(A, 1, Q, K) from positions: True = seen; or 0 and the lowest number where added."""
    distance = queries_A_Q[:, None, :, None] - keys_K
    seen = distance >= 0
    if window is not None:
        seen &= distance < window
    if dtype is None:
        return seen
    lowest = torch.finfo(dtype).min
    return torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill(~seen, lowest)


def shared_attention(original: Attention | None) -> Attention:
    """`original` (None: the model file's own eager function), able to follow a `guard_layout`."""

    def attend(module: torch.nn.Module, query: Tensor, key: Tensor, value: Tensor,
               attention_mask: Tensor | None, guard_layout: Layout | None = None,
               **kwargs: Any) -> tuple[Tensor, Tensor | None]:  # fmt: skip
        function = original or _eager(module)
        if guard_layout is None:
            return function(module, query, key, value, attention_mask, **kwargs)
        added = query.dtype if original is None else None
        if original is not None and fits(query, guard_layout.scores, kwargs):
            function = dense_attention
            added = torch.promote_types(query.dtype, torch.float32)
        return _follow(function, module, (query, key, value), guard_layout, added, kwargs), None

    return attend


def _follow(function: Attention, module: torch.nn.Module, states: tuple[Tensor, Tensor, Tensor],
            layout: Layout, added: torch.dtype | None, kwargs: dict[str, Any]
            ) -> Tensor:  # fmt: skip
    """Outputs (1, S, H, D) from queries, keys and values (1, H, S, D)."""
    layout.calls += 1
    window, width = kwargs.get("sliding_window"), layout.batch.preamble
    sizes = [width, states[0].shape[2] - width]
    fronts, rests = zip(*(torch.split(state, sizes, 2) for state in states), strict=True)
    outputs = []
    if width:
        mask = layout.preamble_mask(window, added)
        outputs.append(function(module, *fronts, mask, **kwargs)[0][0])
    if layout.has_rows:
        query = _gathered(rests[0], layout.queries_A_Q)
        key, value = (
            _behind(front[:, :, layout.first_key(window) :], _gathered(rest, layout.keys_A_K))
            for front, rest in zip(fronts[1:], rests[1:], strict=True)
        )
        mask = layout.rows_mask(window, added)
        out_A_Q_H_D = function(module, query, key, value, mask, **kwargs)[0]
        outputs.append(out_A_Q_H_D.flatten(0, 1).index_select(0, layout.batch.own_R))
    return torch.cat(outputs)[None]


def _gathered(states: Tensor, places_A_K: Tensor) -> Tensor:
    """(A, H, K, D) out of (1, H, R, D)."""
    chosen = states[0].transpose(0, 1).index_select(0, places_A_K.flatten())
    return chosen.view(*places_A_K.shape, *chosen.shape[1:]).transpose(1, 2)


def _behind(front: Tensor, own: Tensor) -> Tensor:
    """Keys or values of each row: the preamble's (1, H, P', D), then its own (A, H, K, D)."""
    return torch.cat([front.expand(len(own), -1, -1, -1), own], 2)


def _eager(module: torch.nn.Module) -> Attention:
    """The eager function of the file that an attention module's class stands in."""
    for kind in type(module).__mro__:
        found = getattr(sys.modules[kind.__module__], "eager_attention_forward", None)
        if found is not None:
            function: Attention = found
            return function
    raise TypeError(f"{type(module).__name__} has no eager attention function")
