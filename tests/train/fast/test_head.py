"""train/fast/head.py: fused terms equal the naive formulas, and pass gradcheck in fp64."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, kl_div

from whyguard.train.fast import head as module
from whyguard.train.fast.head import Frozen, LinearHead, ModuleHead

N, V, D = 7, 11, 5


@pytest.fixture(params=[1, 3, 100], autouse=True)
def chunk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Everything holds whatever the chunks: 1 or 3 tokens, or all."""
    monkeypatch.setattr(module, "CHUNK_BYTES", 4 * V * request.param)
    return request.param  # type: ignore[no-any-return]


def _tensors(dtype: torch.dtype = torch.float64, bias: bool = True) -> dict[str, Any]:
    torch.manual_seed(0)
    return {
        "hidden": torch.randn(N, D, dtype=dtype, requires_grad=True),
        "weight": torch.randn(V, D, dtype=dtype, requires_grad=True),
        "bias": torch.randn(V, dtype=dtype, requires_grad=True) if bias else None,
        "ref_hidden": torch.randn(N, D, dtype=dtype),
        "ref": Frozen(torch.randn(V, D, dtype=dtype), torch.randn(V, dtype=dtype)),
        "targets": torch.randint(V, (N,)),
        "weights": torch.rand(N),
    }  # fmt: skip


def _naive_logits(hidden: Tensor, weight: Tensor, bias: Tensor | None, cap: float | None) -> Tensor:
    logits = torch.nn.functional.linear(hidden, weight, bias)
    return cap * torch.tanh(logits / cap) if cap else logits


def _naive_nll(t: dict[str, Any], cap: float | None) -> Tensor:
    logits = _naive_logits(t["hidden"], t["weight"], t["bias"], cap)
    return cross_entropy(logits, t["targets"], reduction="none")


def _naive_kl(t: dict[str, Any], cap: float | None) -> Tensor:
    policy = _naive_logits(t["hidden"], t["weight"], t["bias"], cap).log_softmax(-1)
    reference = _naive_logits(
        t["ref_hidden"], t["ref"].weight_V_D, t["ref"].bias_V, cap
    ).log_softmax(-1)
    return kl_div(policy, reference, reduction="none", log_target=True).sum(-1)


def _fused(kind: str, t: dict[str, Any], cap: float | None, head: Any = None) -> Tensor:
    head = head or LinearHead(t["weight"], t["bias"], cap)
    if kind == "nll":
        return head.nll(t["hidden"], t["targets"], t["weights"]).weighted_N  # type: ignore[no-any-return]
    if kind == "kl":
        return head.kl(t["hidden"], t["ref_hidden"], t["ref"], t["weights"]).weighted_N  # type: ignore[no-any-return]
    return -head.logps(t["hidden"], t["targets"]) * t["weights"]  # type: ignore[no-any-return]


def _naive(kind: str, t: dict[str, Any], cap: float | None) -> Tensor:
    values_N = _naive_kl(t, cap) if kind == "kl" else _naive_nll(t, cap)
    weights_N: Tensor = t["weights"]
    return values_N * weights_N


KINDS = ("nll", "kl", "logps")
REDUCED: dict[str, Callable[[Tensor], Tensor]] = {
    "sum": lambda terms: terms.sum(),
    "scaled": lambda terms: 0.3 * terms.mean(),
    "signs": lambda terms: torch.nn.functional.logsigmoid(terms[:3].sum() - terms[3:].sum()),
}


@pytest.mark.parametrize("cap", [None, 2.0])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("reduce", sorted(REDUCED))
@pytest.mark.parametrize("kind", KINDS)
def test_terms_and_gradients_equal_the_formulas_1e10(
    kind: str, reduce: str, bias: bool, cap: float | None
) -> None:
    t = _tensors(bias=bias)
    inputs = [t["hidden"], t["weight"], *([t["bias"]] if bias else [])]
    ours, naive = _fused(kind, t, cap), _naive(kind, t, cap)
    assert torch.allclose(ours, naive, atol=1e-10, rtol=0)
    found = torch.autograd.grad(REDUCED[reduce](ours), inputs)
    wanted = torch.autograd.grad(REDUCED[reduce](naive), inputs)
    for one, other in zip(found, wanted, strict=True):
        assert torch.allclose(one, other, atol=1e-10, rtol=0)


@pytest.mark.parametrize("cap", [None, 2.0])
@pytest.mark.parametrize("reduce", sorted(REDUCED))
@pytest.mark.parametrize("kind", KINDS)
def test_gradcheck_fp64(kind: str, reduce: str, cap: float | None) -> None:
    t = _tensors()

    def loss(hidden: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return REDUCED[reduce](_fused(kind, {**t, "hidden": hidden, "weight": weight,
                                             "bias": bias}, cap))  # fmt: skip

    assert torch.autograd.gradcheck(loss, (t["hidden"], t["weight"], t["bias"]))


@pytest.mark.parametrize("kind", KINDS)
def test_a_frozen_head_gets_no_gradient(kind: str) -> None:
    t = _tensors()
    t["weight"], t["bias"] = t["weight"].detach(), t["bias"].detach()
    torch.autograd.backward(REDUCED["signs"](_fused(kind, t, 2.0)))
    found = t["hidden"].grad.clone()
    wanted = torch.autograd.grad(REDUCED["signs"](_naive(kind, t, 2.0)), [t["hidden"]])[0]
    assert torch.allclose(found, wanted, atol=1e-10, rtol=0)
    assert t["weight"].grad is None


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_head_is_trained(kind: str) -> None:
    t = _tensors()
    t["hidden"] = t["hidden"].detach()
    found = torch.autograd.grad(REDUCED["signs"](_fused(kind, t, None)), [t["weight"]])[0]
    wanted = torch.autograd.grad(REDUCED["signs"](_naive(kind, t, None)), [t["weight"]])[0]
    assert torch.allclose(found, wanted, atol=1e-10, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_any_other_head_by_calling_it_1e10(kind: str) -> None:
    t = _tensors()
    layer = torch.nn.Linear(D, V, dtype=torch.float64)
    layer.weight, layer.bias = torch.nn.Parameter(t["weight"]), torch.nn.Parameter(t["bias"])
    inputs = [t["hidden"], layer.weight, layer.bias]
    ours = _fused(kind, t, 2.0, ModuleHead(layer, V, 2.0))
    found = torch.autograd.grad(REDUCED["signs"](ours), inputs)
    naive = _naive(kind, {**t, "weight": layer.weight, "bias": layer.bias}, 2.0)
    wanted = torch.autograd.grad(REDUCED["signs"](naive), inputs)
    for one, other in zip(found, wanted, strict=True):
        assert torch.allclose(one, other, atol=1e-10, rtol=0)


def test_kl_of_equal_states_and_heads_is_exactly_0_with_0_gradient() -> None:
    t = _tensors(torch.float32)
    same = Frozen(t["weight"].detach().clone(), t["bias"].detach().clone())
    head = LinearHead(t["weight"], t["bias"], None)
    kl = head.kl(t["hidden"], t["hidden"].detach().clone(), same, t["weights"])
    torch.autograd.backward(kl.total)
    assert not kl.values_N.any()
    assert not t["hidden"].grad.any()
    assert not t["weight"].grad.any()


@pytest.mark.parametrize("kind", KINDS)
def test_no_tokens_give_0_and_0_gradients(kind: str) -> None:
    t = _tensors()
    t = {**t, "targets": t["targets"][:0], "weights": t["weights"][:0],
         "ref_hidden": t["ref_hidden"][:0]}  # fmt: skip
    total = _fused(kind, {**t, "hidden": t["hidden"][:0]}, None).sum()
    torch.autograd.backward(total)
    assert total.item() == 0
    assert not t["weight"].grad.any()
    assert not t["hidden"].grad.any()


@pytest.mark.parametrize("kind", KINDS)
def test_bf16_autocast_within_2_percent_and_gradients_in_fp32(kind: str) -> None:
    t = _tensors(torch.float32)
    inputs = [t["hidden"], t["weight"], t["bias"]]
    with torch.autocast("cpu", torch.bfloat16):
        ours = _fused(kind, t, None)
    naive = _naive(kind, t, None)
    assert ours.dtype == torch.float32
    assert torch.allclose(ours, naive, rtol=0.02, atol=0.02)
    found = torch.autograd.grad(ours.sum(), inputs)
    wanted = torch.autograd.grad(naive.sum(), inputs)
    for one, other in zip(found, wanted, strict=True):
        assert one.dtype == torch.float32
        assert (one - other).norm() / other.norm() < 0.02


@pytest.mark.parametrize("kind", KINDS)
def test_weights_and_states_in_bf16_give_bf16_gradients(kind: str) -> None:
    t = _tensors(torch.float32)
    for name in ("hidden", "weight", "bias"):
        t[name] = t[name].detach().bfloat16().requires_grad_()
    torch.autograd.backward(_fused(kind, t, None).sum())
    assert t["hidden"].grad.dtype == t["weight"].grad.dtype == torch.bfloat16


def test_without_gradients_nothing_is_kept() -> None:
    t = _tensors()
    with torch.no_grad():
        found = LinearHead(t["weight"], t["bias"], None).nll(t["hidden"], t["targets"],
                                                             t["weights"])  # fmt: skip
    assert not found.weighted_N.requires_grad
    assert torch.allclose(found.values_N, _naive_nll(t, None), atol=1e-10)


def test_a_second_derivative_is_an_error() -> None:
    t = _tensors()
    terms = _fused("nll", t, None)
    grad = torch.autograd.grad((terms**2).sum(), [t["hidden"]], create_graph=True)[0]
    with pytest.raises(RuntimeError, match="once_differentiable"):
        torch.autograd.backward(grad.sum())
