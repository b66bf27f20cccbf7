"""Guard batches through a model's own forward: for models that the fast path does not know.

`install_plain` teaches a model the keyword that `fast.install` teaches, by other means: rows are
padded, and all positions are projected to the vocabulary. The losses stay as they are, but what
they take for hidden states are logits: a stored reference holds V numbers a token instead of D.
Slower and larger on purpose: nothing is known of the model's inside.

Imported only by code that trains: it needs torch.
"""

import inspect
from types import MethodType
from typing import Any, NamedTuple

import torch
from torch import Tensor

from whyguard.train.fast.batch import GuardBatch
from whyguard.train.fast.head import Frozen, Terms
from whyguard.train.fast.install import Call, base_model, install, verify


def teach(model: Any, *, share: bool) -> None:
    """Let `model` run guard batches: by the fast path, checked, or by its own forward.

    Raises:
        ConfigError: `share`, and the fast path does not know the model, or differs from it.
    """
    if share:
        install(model)
        verify(model)
    else:
        install_plain(model)


def install_plain(model: Any) -> None:
    """Bind a forward that understands `guard_call`; doing it twice changes nothing."""
    base = base_model(model)
    if "_guard_own" in base.__dict__:
        return
    base._guard_own = base.forward
    base.forward = MethodType(_taught(base.forward), base)


class GivenLogits(NamedTuple):
    """A `Head` (see fast/head.py) for which hidden states are logits already."""

    def logps(self, logits_N_V: Tensor, targets_N: Tensor) -> Tensor:
        """Log-probabilities (N,) of the targets."""
        return _wide(logits_N_V).log_softmax(-1).gather(1, targets_N[:, None])[:, 0]

    def nll(self, logits_N_V: Tensor, targets_N: Tensor, weights_N: Tensor) -> Terms:
        """Weight * negative log-likelihood of the targets."""
        nll_N = -self.logps(logits_N_V, targets_N)
        return Terms(weights_N * nll_N, nll_N.detach())

    def kl(self, logits_N_V: Tensor, ref_N_V: Tensor, ref: Frozen, weights_N: Tensor) -> Terms:
        """Weight * KL(reference || policy); the reference's logits stand for its states."""
        logp_N_V, logr_N_V = (_wide(each).log_softmax(-1) for each in (logits_N_V, ref_N_V))
        kl_N = (logr_N_V.exp() * (logr_N_V - logp_N_V)).sum(-1)
        return Terms(weights_N * kl_N, kl_N.detach())


def _taught(plain: Any) -> Any:
    def forward(self: Any, *args: Any, guard_call: Call | None = None, **kwargs: Any) -> Any:
        if guard_call is None:
            return self._guard_own(*args, **kwargs)
        return guard_call.task(GivenLogits(), _logits(self, guard_call.batch))

    signature = inspect.signature(plain)
    extra = inspect.Parameter("guard_call", inspect.Parameter.KEYWORD_ONLY, default=None)
    named = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
    rest = [p for p in signature.parameters.values() if p.kind is p.VAR_KEYWORD]
    forward.__signature__ = signature.replace(parameters=[*named, extra, *rest])  # type: ignore[attr-defined]
    return forward


def _logits(model: Any, batch: GuardBatch) -> Tensor:
    """Logits (N, V) before the predicted tokens, of rows that are whole again."""
    paths = _paths(batch)
    longest = max(len(path) for path in paths)
    ids_B_T = batch.ids_S.new_zeros(len(paths), longest)
    mask_B_T = torch.zeros_like(ids_B_T)
    row_S = torch.zeros_like(batch.ids_S)
    for number, path in enumerate(paths):
        ids_B_T[number, : len(path)] = batch.ids_S[path]
        mask_B_T[number, : len(path)] = 1
        row_S[path] = (
            number  # rows that share a token have the same past there: any of them will do
        )
    found = model._guard_own(input_ids=ids_B_T, attention_mask=mask_B_T, use_cache=False)
    logits_B_T_V: Tensor = found.logits
    return logits_B_T_V[row_S[batch.before_N], batch.positions_S[batch.before_N]]


def _paths(batch: GuardBatch) -> list[Tensor]:
    """Where in S the tokens of each row are, for the rows that add any; together they hold all."""
    front = torch.arange(batch.preamble, device=batch.ids_S.device)
    rows, width = batch.queries_A_Q.shape if batch.queries_A_Q.numel() else (0, 1)
    if not rows:
        return [front]
    own_A = torch.bincount(batch.own_R // width, minlength=rows)
    lengths = (batch.offsets_A + own_A).tolist()
    return [torch.cat([front, keys[:length]])
            for keys, length in zip(batch.keys_A_K, lengths, strict=True)]  # fmt: skip


def _wide(logits: Tensor) -> Tensor:
    return logits.to(torch.promote_types(logits.dtype, torch.float32))
