"""The output head on N chosen hidden states: log-probabilities, weighted NLL and weighted KL.

Logits of a chunk of tokens at a time, in the wider of fp32 and the states' type; no (N, V) tensor
is kept. Gradients of states, weight and bias are computed *ahead*, while a chunk's logits are
there, as if the loss were the plain sum of the weighted terms. It usually is, up to a factor
(SFT; the mean KL of anchors): then the backward pass only scales. Where it is not (DPO, whose
rows pull in both directions), a chunk's logits are computed again in the backward pass, unless the
head is frozen: the gradient of each state can always be scaled.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.utils.checkpoint import checkpoint

CHUNK_BYTES = 1 << 28
"""Room for one chunk of fp32 logits."""


class Terms(NamedTuple):
    """Terms of a loss, one a token: their sum, or any function of them, may be differentiated."""

    weighted_N: Tensor
    """Weight times value, with gradients."""
    values_N: Tensor
    """Values, without gradients."""

    @property
    def total(self) -> Tensor:
        """The sum of the weighted terms."""
        return self.weighted_N.sum()


class Frozen(NamedTuple):
    """The reference's head: weight (V, D), bias (V) or None."""

    weight_V_D: Tensor
    bias_V: Tensor | None = None


class Head(Protocol):
    """What can be computed of N hidden states (N, D)."""

    def logps(self, hidden_N_D: Tensor, targets_N: Tensor) -> Tensor:
        """Log-probabilities (N,) of the targets, with gradients."""

    def nll(self, hidden_N_D: Tensor, targets_N: Tensor, weights_N: Tensor) -> Terms:
        """Weight * negative log-likelihood of the targets."""

    def kl(self, hidden_N_D: Tensor, ref_N_D: Tensor, ref: Frozen, weights_N: Tensor) -> Terms:
        """Weight * KL(reference || policy)."""


class LinearHead(NamedTuple):
    """A linear output layer, by its tensors: everything fused."""

    weight_V_D: Tensor
    bias_V: Tensor | None
    cap: float | None
    """Logits are cap * tanh(logits / cap) where given (Gemma-2)."""

    def logps(self, hidden_N_D: Tensor, targets_N: Tensor) -> Tensor:
        """See Head."""
        ones_N = torch.ones_like(targets_N, dtype=torch.float32)
        return -self._terms(_Nll(targets_N), hidden_N_D, ones_N, ahead=False).weighted_N

    def nll(self, hidden_N_D: Tensor, targets_N: Tensor, weights_N: Tensor) -> Terms:
        """See Head."""
        return self._terms(_Nll(targets_N), hidden_N_D, weights_N, ahead=True)

    def kl(self, hidden_N_D: Tensor, ref_N_D: Tensor, ref: Frozen, weights_N: Tensor) -> Terms:
        """See Head."""
        term = _frozen_kl(ref_N_D, ref, self.cap, _compute_dtype(hidden_N_D))
        return self._terms(term, hidden_N_D, weights_N, ahead=True)

    def _terms(self, term: "_Term", hidden_N_D: Tensor, weights_N: Tensor, *,
               ahead: bool) -> Terms:  # fmt: skip
        inputs = (hidden_N_D, self.weight_V_D, self.bias_V)
        wanted = _Wanted(*(torch.is_grad_enabled() and t is not None and t.requires_grad
                           for t in inputs))  # fmt: skip
        settings = _Settings(self.cap, _compute_dtype(hidden_N_D), wanted, ahead)
        with torch.autocast(hidden_N_D.device.type, enabled=False):
            found = _Weighted.apply(*inputs, weights_N, term, settings)  # type: ignore[no-untyped-call]
        return Terms(*found)


class ModuleHead(NamedTuple):
    """Any other output layer (with adapters, quantised), by calling it chunk for chunk."""

    module: torch.nn.Module
    vocabulary: int
    cap: float | None

    def logps(self, hidden_N_D: Tensor, targets_N: Tensor) -> Tensor:
        """See Head."""
        return -self._values(_Nll(targets_N), hidden_N_D)

    def nll(self, hidden_N_D: Tensor, targets_N: Tensor, weights_N: Tensor) -> Terms:
        """See Head."""
        nll_N = self._values(_Nll(targets_N), hidden_N_D)
        return Terms(weights_N * nll_N, nll_N.detach())

    def kl(self, hidden_N_D: Tensor, ref_N_D: Tensor, ref: Frozen, weights_N: Tensor) -> Terms:
        """See Head."""
        term = _frozen_kl(ref_N_D, ref, self.cap, _compute_dtype(hidden_N_D))
        kl_N = self._values(term, hidden_N_D)
        return Terms(weights_N * kl_N, kl_N.detach())

    def _values(self, term: "_Term", hidden_N_D: Tensor) -> Tensor:
        def part(hidden_n_D: Tensor, at: slice) -> Tensor:
            logits = self.module(hidden_n_D)
            capped = _capped(logits.to(_wide(logits.dtype)), self.cap)
            return term.of(capped, at, derive=False).values_n

        parts = [checkpoint(part, hidden_N_D[at], at, use_reentrant=False)
                 for at in _chunks(len(hidden_N_D), self.vocabulary)]  # fmt: skip
        return torch.cat(parts) if parts else hidden_N_D.sum(-1).to(_wide(hidden_N_D.dtype))


class _Term(Protocol):
    """A function of each token's capped logits; `at` says which of the N tokens a chunk is."""

    def of(self, logits_n_V: Tensor, at: slice, *, derive: bool) -> "_Chunk":
        """Its value at each token and, if asked for, its derivative by the logits."""


class _Chunk(NamedTuple):
    """Values (n,), by differentiable operations; and derivatives, a new tensor, or None."""

    values_n: Tensor
    grad_n_V: Tensor | None


class _Nll(NamedTuple):
    """-log softmax(logits)[target]; derivative softmax - onehot."""

    targets_N: Tensor

    def of(self, logits_n_V: Tensor, at: slice, *, derive: bool) -> _Chunk:
        """See _Term."""
        targets_n_1 = self.targets_N[at, None]
        sums_n = torch.logsumexp(logits_n_V, -1)
        values_n = sums_n - logits_n_V.gather(1, targets_n_1)[:, 0]
        if not derive:
            return _Chunk(values_n, None)
        probs_n_V = (logits_n_V - sums_n[:, None]).exp_()
        ones_n_1 = torch.ones_like(targets_n_1, dtype=probs_n_V.dtype)
        return _Chunk(values_n, probs_n_V.scatter_add_(1, targets_n_1, -ones_n_1))


class _Kl(NamedTuple):
    """KL(r || p) of p = softmax(logits) and the reference's r; derivative p - r."""

    ref_N_D: Tensor
    view: "_View"

    def of(self, logits_n_V: Tensor, at: slice, *, derive: bool) -> _Chunk:
        """See _Term."""
        logp_n_V = logits_n_V.log_softmax(-1)
        logr_n_V = self.view.logits(self.ref_N_D[at]).log_softmax(-1)
        values_n = (logr_n_V.exp() * (logr_n_V - logp_n_V)).sum(-1)
        if not derive:
            return _Chunk(values_n, None)
        return _Chunk(values_n, logp_n_V.exp_().sub_(logr_n_V.exp_()))


class _View(NamedTuple):
    """A head's weights in the type of the arithmetic."""

    weight_V_D: Tensor
    bias_V: Tensor | None
    cap: float | None

    def logits(self, hidden_n_D: Tensor) -> Tensor:
        """(n, V), wide and capped."""
        logits = hidden_n_D.to(self.weight_V_D.dtype) @ self.weight_V_D.t()
        logits_n_V = logits.to(_wide(logits.dtype))
        if self.bias_V is not None:
            logits_n_V = logits_n_V + self.bias_V
        return _capped(logits_n_V, self.cap)


class _Wanted(NamedTuple):
    """Which gradients will be asked for."""

    hidden: bool
    weight: bool
    bias: bool


class _Settings(NamedTuple):
    """How `_Weighted` computes."""

    cap: float | None
    dtype: torch.dtype
    wanted: _Wanted
    ahead: bool


class _Gradients:
    """Gradients of states, weight and bias, summed up chunk by chunk."""

    def __init__(self, hidden_N_D: Tensor, view: _View, wanted: _Wanted) -> None:
        wide = _wide(view.weight_V_D.dtype)
        self._view, self._states = view, hidden_N_D.to(view.weight_V_D.dtype)
        self.hidden = torch.zeros_like(hidden_N_D, dtype=wide) if wanted.hidden else None
        self.weight = torch.zeros_like(view.weight_V_D, dtype=wide) if wanted.weight else None
        self.bias = hidden_N_D.new_zeros(len(view.weight_V_D), dtype=wide) if wanted.bias else None

    @property
    def asked(self) -> bool:
        """Whether there is any."""
        return any(grad is not None for grad in (self.hidden, self.weight, self.bias))

    def add(self, at: slice, grad_n_V: Tensor, logits_n_V: Tensor) -> None:
        """Add a chunk, from its gradient at the capped logits (which is overwritten)."""
        if self._view.cap:
            grad_n_V.mul_(1 - (logits_n_V / self._view.cap) ** 2)
        if self.bias is not None:
            self.bias += grad_n_V.sum(0)
        narrow_n_V, states_n_D = grad_n_V.to(self._states.dtype), self._states[at]
        if self.hidden is not None:
            self.hidden[at] = narrow_n_V @ self._view.weight_V_D
        if self.weight is not None and narrow_n_V.dtype == self.weight.dtype:
            self.weight.addmm_(narrow_n_V.t(), states_n_D)
        elif self.weight is not None:
            self.weight += narrow_n_V.t() @ states_n_D


class _Weighted(torch.autograd.Function):
    """Weight * term of each token. Returns weighted terms, and the bare ones without gradient."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None, weights_N: Tensor,
                term: _Term, settings: _Settings) -> tuple[Tensor, Tensor]:  # fmt: skip
        """See the module's docstring."""
        wanted, view = settings.wanted, _View(weight.to(settings.dtype), bias, settings.cap)
        head = settings.ahead or not (wanted.weight or wanted.bias)
        ctx.grads = _Gradients(hidden, view, wanted if head else _Wanted(False, False, False))
        values_N = _run(hidden, view, term, weights_N, ctx.grads)
        ctx.term, ctx.settings, ctx.head = term, settings, head
        ctx.save_for_backward(hidden, weight, bias, weights_N)
        ctx.mark_non_differentiable(values_N)
        return weights_N * values_N, values_N

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_N: Tensor, _: Tensor) -> tuple[Any, ...]:
        """Scale what was computed ahead, or compute it again."""
        hidden, weight, bias, weights_N = ctx.saved_tensors
        wanted, grads, factor_N = ctx.settings.wanted, ctx.grads, grad_N
        if not ctx.head or ((wanted.weight or wanted.bias) and not _uniform(grad_N)):
            view = _View(weight.to(ctx.settings.dtype), bias, ctx.settings.cap)
            grads, factor_N = _Gradients(hidden, view, wanted), torch.ones_like(grad_N)
            _run(hidden, view, ctx.term, weights_N * grad_N, grads)
        one = factor_N[:1].sum()  # the same for all tokens where weight or bias is asked for
        return (_scaled(grads.hidden, factor_N[:, None], hidden),
                _scaled(grads.weight, one, weight), _scaled(grads.bias, one, bias),
                None, None, None)  # fmt: skip


def _run(hidden_N_D: Tensor, view: _View, term: _Term, weights_N: Tensor,
         grads: _Gradients) -> Tensor:  # fmt: skip
    """Values (N,) of the term; gradients of the weighted sum are added to `grads`."""
    values_N = hidden_N_D.new_empty(len(hidden_N_D), dtype=_wide(view.weight_V_D.dtype))
    for at in _chunks(len(hidden_N_D), len(view.weight_V_D)):
        logits_n_V = view.logits(hidden_N_D[at])
        values_N[at], grad_n_V = term.of(logits_n_V, at, derive=grads.asked)
        if grad_n_V is not None:
            grads.add(at, grad_n_V.mul_(weights_N[at, None]), logits_n_V)
    return values_N


def _uniform(grad_N: Tensor) -> bool:
    return bool((grad_N == grad_N[:1]).all())


def _scaled(grad: Tensor | None, factor: Tensor, like: Tensor | None) -> Tensor | None:
    return None if grad is None or like is None else (grad * factor).to(like.dtype)


def _frozen_kl(ref_N_D: Tensor, ref: Frozen, cap: float | None, dtype: torch.dtype) -> _Kl:
    return _Kl(ref_N_D, _View(ref.weight_V_D.detach().to(dtype), ref.bias_V, cap))


def _chunks(count: int, vocabulary: int) -> Iterator[slice]:
    size = max(1, CHUNK_BYTES // (4 * vocabulary))
    return (slice(start, min(start + size, count)) for start in range(0, count, size))


def _wide(dtype: torch.dtype) -> torch.dtype:
    return torch.promote_types(dtype, torch.float32)


def _compute_dtype(hidden: Tensor) -> torch.dtype:
    """The type a linear layer would compute in: autocast's where it is on."""
    kind = hidden.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else hidden.dtype


def _capped(logits: Tensor, cap: float | None) -> Tensor:
    return torch.tanh(logits / cap) * cap if cap else logits
