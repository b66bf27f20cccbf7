"""train/cao.py: against TRL's DPO, closed forms and hostile inputs; tolerances are in the names."""

import math
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from whyguard.core.errors import ConfigError, DataError
from whyguard.generation.models import load_model
from whyguard.train.cao import CaoLoss, anchor_kl, cao_loss

torch.set_num_threads(1)
PAIRS = [
    {"prompt": "the garden is open", "chosen": " on sunday", "rejected": " and my sister bakes"},
    {"prompt": "where", "chosen": " does one find a quiet place", "rejected": " to read"},
    {"prompt": "la casa ye vieya y el", "chosen": " ríu pasa", "rejected": " moza canta na plaza"},
]


class Outcome(NamedTuple):
    """A loss and the gradients of all weights."""

    loss: float
    grads: dict[str, Tensor]


def _trainer(base: Path, folder: Path, loss_type: str) -> Any:
    """TRL's trainer whose policy has moved away from its reference."""
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer

    policy, reference = (load_model(f"path:{base}", device="cpu") for _ in range(2))
    torch.manual_seed(3)
    with torch.no_grad():
        for weight in policy.model.parameters():
            weight.add_(0.05 * torch.randn_like(weight))
    args = DPOConfig(output_dir=str(folder), beta=0.1, loss_type=[loss_type], use_cpu=True,
                     bf16=False, activation_checkpointing=False, report_to=[],
                     per_device_train_batch_size=len(PAIRS), disable_dropout=True)  # fmt: skip
    return DPOTrainer(model=policy.model, ref_model=reference.model, args=args,
                      processing_class=policy.tokenizer,
                      train_dataset=Dataset.from_list(PAIRS))  # fmt: skip


def _outcome(model: Any, loss: Tensor) -> Outcome:
    model.zero_grad()
    torch.autograd.backward(loss)
    return Outcome(loss.item(), {n: w.grad.clone() for n, w in model.named_parameters()})


def _logps(model: Any, batch: dict[str, Tensor]) -> Tensor:
    """Summed log-probability (2B,) of the completions: plain forward, full log-softmax."""
    ids_BT = batch["input_ids"]
    logits_BTV = model(input_ids=ids_BT, attention_mask=batch["attention_mask"]).logits[:, :-1]
    logps_BT = logits_BTV.log_softmax(-1).gather(2, ids_BT[:, 1:, None])[..., 0]
    logps_B: Tensor = (logps_BT * batch["completion_mask"][:, 1:]).sum(1)
    return logps_B


@pytest.mark.parametrize("loss_type", ["sigmoid", "sigmoid_norm"])
def test_lam_0_equals_trl_dpo_loss_and_gradients_1e_6(loss_type: str, llama: Path,
                                                      tmp_path: Path) -> None:  # fmt: skip
    trainer = _trainer(llama, tmp_path, loss_type)
    batch = next(iter(trainer.get_train_dataloader()))
    model = trainer.accelerator.unwrap_model(trainer.model)
    theirs = _outcome(model, trainer.compute_loss(trainer.model, batch))
    chosen_B, rejected_B = _logps(model, batch).chunk(2)
    with torch.no_grad():
        ref_chosen_B, ref_rejected_B = _logps(trainer.ref_model, batch).chunk(2)
    lengths = (
        batch["completion_mask"].sum(1).chunk(2) if loss_type == "sigmoid_norm" else (None,) * 2
    )
    found = cao_loss(chosen_B, rejected_B, ref_chosen_B, ref_rejected_B, torch.ones(len(PAIRS)),
                     beta=0.1, lam=0.0, chosen_lengths_B=lengths[0],
                     rejected_lengths_B=lengths[1])  # fmt: skip
    ours = _outcome(model, found.loss)
    assert abs(theirs.loss - math.log(2)) > 1e-4, "the policy has not moved: nothing is compared"
    assert ours.loss == pytest.approx(theirs.loss, abs=1e-6)
    assert max(g.abs().max().item() for g in theirs.grads.values()) > 1e-3
    for name, grad in theirs.grads.items():
        torch.testing.assert_close(ours.grads[name], grad, atol=1e-6, rtol=0)


def _same(part: Tensor, *, anchor: Tensor | None = None, beta: float = 0.1, lam: float = 1.0,
          lengths: Tensor | None = None) -> CaoLoss:  # fmt: skip
    """The loss where policy and reference are the same tensor for both completions."""
    return cao_loss(part, part, part, part, part if anchor is None else anchor, beta, lam,
                    chosen_lengths_B=lengths)  # fmt: skip


def _rows(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def test_loss_adds_its_parts() -> None:
    chosen_B = _rows(-1.0, -2.0).requires_grad_()
    kl_B = _rows(0.5, 1.5).requires_grad_()
    found = cao_loss(chosen_B, _rows(-3.0, -1.0), _rows(-2.0, -2.0), _rows(-2.0, -2.0), kl_B,
                     beta=0.5, lam=3.0)  # fmt: skip
    margins = [0.5 * (1 + 1), 0.5 * (0 - 1)]
    dpo = sum(math.log1p(math.exp(-m)) for m in margins) / 2
    assert found.margins_B.tolist() == pytest.approx(margins)
    assert found.preference.item() == pytest.approx(dpo, abs=1e-12)
    assert (found.anchor.item(), found.accuracy.item()) == (1.0, 0.5)
    assert found.loss.item() == pytest.approx(dpo + 3.0, abs=1e-12)
    torch.autograd.backward(found.loss)
    assert kl_B.grad is not None and kl_B.grad.tolist() == [1.5, 1.5]
    assert not any(part.requires_grad for part in found[1:])


def test_lam_0_is_dpo_even_where_the_anchor_is_nan() -> None:
    ones_B = torch.ones(2, requires_grad=True)
    nans_B = torch.full((2,), math.nan)
    assert _same(ones_B, anchor=nans_B, lam=0.0).loss.item() == pytest.approx(math.log(2))
    assert _same(ones_B, anchor=nans_B).loss.isnan()


def test_reference_gets_no_gradient() -> None:
    policy_B, ref_B = torch.zeros(2, requires_grad=True), torch.ones(2, requires_grad=True)
    torch.autograd.backward(
        cao_loss(policy_B, policy_B * 2, ref_B, ref_B * 2, torch.zeros(2), 0.1, 1.0).loss
    )
    assert ref_B.grad is None
    assert policy_B.grad is not None


@pytest.mark.parametrize(("beta", "lam"), [(0.0, 1.0), (-1.0, 1.0), (math.nan, 1.0), (0.1, -1.0),
                                           (0.1, math.inf)])  # fmt: skip
def test_weights_are_checked(beta: float, lam: float) -> None:
    with pytest.raises(ConfigError, match="beta above 0 and lam of 0 or more"):
        _same(torch.zeros(2), beta=beta, lam=lam)


@pytest.mark.parametrize("odd", [torch.zeros(3), torch.zeros(2, 1), torch.zeros(())])
def test_shapes_never_broadcast(odd: Tensor) -> None:
    with pytest.raises(DataError, match=r"one shape \(B,\)"):
        _same(torch.zeros(2), anchor=odd)


def test_no_rows_is_an_error() -> None:
    with pytest.raises(DataError, match="B of 1 or more"):
        _same(torch.zeros(0))


def test_lengths_come_in_twos() -> None:
    with pytest.raises(ConfigError, match="lengths of both completions"):
        _same(torch.zeros(2), lengths=torch.ones(2))


class Anchors(NamedTuple):
    """Random logits of policy and reference, and a mask whose rows differ in length."""

    policy_BTV: Tensor
    ref_BTV: Tensor
    mask_BT: Tensor


def _anchors(seed: int = 0, dtype: torch.dtype = torch.float32,
             shape: tuple[int, int, int] = (3, 11, 17), scale: float = 2.0) -> Anchors:  # fmt: skip
    made = torch.Generator().manual_seed(seed)
    policy_BTV, ref_BTV = (scale * torch.randn(shape, generator=made, dtype=dtype) for _ in "ab")
    mask_BT = torch.rand(shape[:2], generator=made) < 0.6
    mask_BT[:, 0] = True
    return Anchors(policy_BTV.requires_grad_(), ref_BTV, mask_BT)


def _naive(policy_BTV: Tensor, ref_BTV: Tensor, mask_BT: Tensor) -> Tensor:
    """The definition, row by row and token by token."""
    rows = []
    for policy_TV, ref_TV, mask_T in zip(policy_BTV, ref_BTV, mask_BT, strict=True):
        p, q = ref_TV[mask_T].double().softmax(-1), policy_TV[mask_T].double().softmax(-1)
        rows.append((p * (p.log() - q.log())).sum(-1).mean())
    return torch.stack(rows)


def _slopes(kl_B: Tensor, policy_BTV: Tensor) -> Tensor:
    weights_B = torch.arange(1, len(kl_B) + 1, dtype=kl_B.dtype)
    return torch.autograd.grad((kl_B * weights_B).sum(), policy_BTV)[0]


@pytest.mark.parametrize("seed", range(3))
def test_anchor_kl_equals_naive_value_and_gradient_1e_6(seed: int) -> None:
    anchors = _anchors(seed)
    found, naive = anchor_kl(*anchors), _naive(*anchors)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), naive, atol=1e-6, rtol=0)
    torch.testing.assert_close(_slopes(found, anchors.policy_BTV),
                               _slopes(naive, anchors.policy_BTV), atol=1e-6, rtol=0)  # fmt: skip


def test_anchor_kl_passes_gradcheck_in_float64() -> None:
    anchors = _anchors(dtype=torch.float64, shape=(2, 3, 5))
    assert torch.autograd.gradcheck(
        lambda policy: anchor_kl(policy, anchors.ref_BTV, anchors.mask_BT, chunk=2),
        (anchors.policy_BTV,),
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_anchor_kl_is_exactly_0_with_0_gradient_at_the_reference(dtype: torch.dtype) -> None:
    anchors = _anchors(dtype=dtype)
    kl_B = anchor_kl(anchors.policy_BTV, anchors.policy_BTV.detach().clone(), anchors.mask_BT)
    assert kl_B.tolist() == [0.0, 0.0, 0.0]
    assert not _slopes(kl_B, anchors.policy_BTV).any()


@pytest.mark.parametrize("chunk", [1, 2, 5, 11, 1000])
def test_chunk_size_does_not_matter_1e_12(chunk: int) -> None:
    anchors = _anchors(dtype=torch.float64)
    whole, found = anchor_kl(*anchors, chunk=11), anchor_kl(*anchors, chunk=chunk)
    torch.testing.assert_close(found, whole, atol=1e-12, rtol=0)
    torch.testing.assert_close(_slopes(found, anchors.policy_BTV),
                               _slopes(whole, anchors.policy_BTV), atol=1e-12, rtol=0)  # fmt: skip


def test_bf16_is_computed_in_fp32() -> None:
    anchors = _anchors(dtype=torch.bfloat16)
    found = anchor_kl(*anchors)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), _naive(*anchors), atol=1e-6, rtol=0)
    assert _slopes(found, anchors.policy_BTV).dtype == torch.bfloat16


def test_wider_type_wins() -> None:
    anchors = _anchors()
    assert anchor_kl(anchors.policy_BTV, anchors.ref_BTV.double(), anchors.mask_BT).dtype == (
        torch.float64
    )


class FloatSizes(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's
    """Notes the size of every float32 tensor that an operation makes."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch's
        self.largest = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        if isinstance(made, Tensor) and made.dtype == torch.float32:
            self.largest = max(self.largest, made.numel())
        return made


def test_no_float_copy_of_the_logits_in_either_direction() -> None:
    anchors = _anchors(dtype=torch.bfloat16, shape=(2, 40, 50))
    with FloatSizes() as sizes:
        torch.autograd.backward(anchor_kl(*anchors, chunk=4).sum())
    assert 0 < sizes.largest <= 2 * 4 * 50


def test_what_stands_outside_the_mask_has_no_influence() -> None:
    anchors = _anchors()
    clean = anchor_kl(*anchors)
    spoilt_BTV = anchors.policy_BTV.detach().clone()
    spoilt_BTV[~anchors.mask_BT] = math.nan
    spoilt_BTV.requires_grad_()
    found = anchor_kl(spoilt_BTV, anchors.ref_BTV, anchors.mask_BT)
    assert torch.equal(found, clean)
    assert torch.equal(_slopes(found, spoilt_BTV), _slopes(clean, anchors.policy_BTV))


def test_a_row_without_anchor_tokens_is_0_with_0_gradient() -> None:
    anchors = _anchors()
    anchors.mask_BT[1] = False
    kl_B = anchor_kl(*anchors)
    slopes_BTV = _slopes(kl_B, anchors.policy_BTV)
    assert kl_B[1] == 0 and kl_B[0] > 0
    assert not slopes_BTV[1].any() and slopes_BTV[0].any()


def test_nan_under_the_mask_is_not_hidden() -> None:
    anchors = _anchors()
    with torch.no_grad():
        anchors.policy_BTV[0, 0, 0] = math.nan
    kl_B = anchor_kl(*anchors)
    assert kl_B.isnan().tolist() == [True, False, False]


def test_entries_at_minus_infinity_on_both_sides_count_nothing() -> None:
    anchors = _anchors()
    wide = [torch.cat([x.detach(), torch.full((3, 11, 2), -math.inf)], -1) for x in anchors[:2]]
    wide[0].requires_grad_()
    found = anchor_kl(wide[0], wide[1], anchors.mask_BT)
    torch.testing.assert_close(found, anchor_kl(*anchors))
    assert _slopes(found, wide[0]).isfinite().all()


def test_a_constant_added_to_all_logits_changes_nothing() -> None:
    """The published code divides logits by their sum, and fails this."""
    anchors = _anchors(dtype=torch.float64)
    moved = anchor_kl(anchors.policy_BTV + 7.0, anchors.ref_BTV - 3.0, anchors.mask_BT)
    torch.testing.assert_close(moved, anchor_kl(*anchors), atol=1e-12, rtol=0)


def test_shapes_of_logits_and_mask_are_checked() -> None:
    anchors = _anchors()
    with pytest.raises(DataError, match=r"logits \(B, T, V\) twice"):
        anchor_kl(anchors.policy_BTV, anchors.ref_BTV[:, 1:], anchors.mask_BT)
    with pytest.raises(DataError, match=r"a mask \(B, T\)"):
        anchor_kl(anchors.policy_BTV, anchors.ref_BTV, anchors.mask_BT[:, 1:])
    with pytest.raises(ConfigError, match="chunk of 1 or more"):
        anchor_kl(*anchors, chunk=0)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32 - 1), st.floats(0.0, 1e4), st.integers(1, 4), st.integers(1, 9),
       st.sampled_from([torch.float32, torch.float64, torch.bfloat16]))  # fmt: skip
def test_kl_is_finite_and_never_negative(seed: int, scale: float, rows: int, positions: int,
                                         dtype: torch.dtype) -> None:  # fmt: skip
    anchors = _anchors(seed, dtype, (rows, positions, 7), scale)
    kl_B = anchor_kl(*anchors)
    assert (kl_B >= 0).all() and kl_B.isfinite().all()
    assert _slopes(kl_B, anchors.policy_BTV).isfinite().all()


@settings(deadline=None, max_examples=60)
@given(st.lists(st.floats(-1e4, 1e4), min_size=4, max_size=4), st.floats(0.0, 100.0),
       st.floats(1e-3, 10.0), st.floats(0.0, 10.0))  # fmt: skip
def test_loss_is_finite_and_bounded_below(logps: list[float], kl: float, beta: float,
                                          lam: float) -> None:  # fmt: skip
    chosen, rejected, ref_chosen, ref_rejected = (_rows(value) for value in logps)
    found = cao_loss(chosen, rejected, ref_chosen, ref_rejected, _rows(kl), beta, lam)
    assert found.preference >= 0 and found.loss >= lam * kl - 1e-9
    assert found.loss.isfinite()
