"""train/fast/dense.py: equals torch's kernel, in outputs and gradients."""

from itertools import pairwise
from typing import Any

import pytest
import torch
from tests.train.fast.making import gradients, make_model, make_row, make_rows, plain_loss, worst
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from whyguard.train.fast import dense
from whyguard.train.fast.batch import make_batch
from whyguard.train.fast.dense import dense_attention, fits
from whyguard.train.fast.install import install
from whyguard.train.fast.losses import weighted_nll

A, H, G, Q, K, D = 3, 6, 2, 5, 9, 4
MODULE = torch.nn.Identity()


def _states(dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(0)
    shapes = ((A, H, Q, D), (A, G, K, D), (A, G, K, D))
    query, key, value = (torch.randn(s, dtype=dtype, requires_grad=True) for s in shapes)
    return query, key, value


def _masks(rows: int) -> tuple[Tensor, Tensor]:
    seen = torch.arange(Q)[:, None] + 3 + torch.arange(rows)[:, None, None, None] >= torch.arange(K)
    return seen, torch.zeros(seen.shape).masked_fill(~seen, torch.finfo(torch.float32).min)


@pytest.mark.parametrize("rows", [1, A])
@pytest.mark.parametrize("scaling", [None, 0.3])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_outputs_and_gradients_equal_torchs_kernel_1e5(
    dtype: torch.dtype, scaling: float | None, rows: int
) -> None:
    states = _states(dtype)
    seen, added = _masks(rows)
    ours, _ = dense_attention(MODULE, *states, added.to(dtype), scaling)
    torchs = scaled_dot_product_attention(*states, attn_mask=seen, scale=scaling, enable_gqa=True)
    assert torch.allclose(ours, torchs.transpose(1, 2), atol=1e-5)
    weights = torch.randn_like(ours)
    found = torch.autograd.grad((ours * weights).sum(), states)
    wanted = torch.autograd.grad((torchs.transpose(1, 2) * weights).sum(), states)
    for one, other in zip(found, wanted, strict=True):
        assert torch.allclose(one, other, atol=1e-5)


def test_gradcheck_fp64() -> None:
    mask = _masks(A)[1].double()

    def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return dense_attention(MODULE, query, key, value, mask)[0]

    assert torch.autograd.gradcheck(attend, _states(torch.float64))


def test_bf16_is_as_near_to_fp32_as_torchs_kernel_times_2() -> None:
    seen, added = _masks(1)
    exact = scaled_dot_product_attention(*_states(torch.float32), attn_mask=seen, enable_gqa=True)
    narrow = _states(torch.bfloat16)
    torchs = scaled_dot_product_attention(*narrow, attn_mask=seen, enable_gqa=True)
    ours = dense_attention(MODULE, *narrow, added)[0].transpose(1, 2)
    assert (ours - exact).norm() < 2 * (torchs - exact).norm() + 1e-3


@pytest.mark.parametrize("room", [0, 1 << 26])
@pytest.mark.parametrize("family", ["llama", "gemma3"])
def test_with_and_without_room_loss_1e5_gradients_1e4(
    family: str, room: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dense, "ROOM_BYTES", room)
    model, rows = make_model(family), make_rows(5, preamble=12)
    wanted_loss, wanted = gradients(model, lambda: plain_loss(model, rows))
    install(model)
    loss, found = gradients(model, lambda: weighted_nll(model, make_batch(rows)).total / len(rows))
    assert loss == pytest.approx(wanted_loss, rel=1e-5)
    assert worst(found, wanted) < 1e-4


@pytest.mark.parametrize("room", [0, 1 << 26])
def test_padding_behind_a_long_shared_prompt_and_a_narrow_window_loss_1e5_gradients_1e4(
    room: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dense, "ROOM_BYTES", room)
    prompt = [3, *range(10, 30)]
    rows = [make_row(prompt, [40, 41, 2]), make_row(prompt, [50, 2, 2]),
            make_row([3, 9], [*range(60, 85), 2])]  # fmt: skip
    batch = make_batch(rows)
    assert any(left < right for left, right in pairwise(batch.offsets_A.tolist()))
    model = make_model("gemma3", window=2)
    wanted_loss, wanted = gradients(model, lambda: plain_loss(model, rows))
    install(model)
    loss, found = gradients(model, lambda: weighted_nll(model, batch).total / len(rows))
    assert loss == pytest.approx(wanted_loss, rel=1e-5)
    assert worst(found, wanted) < 1e-4


def test_what_it_does_not_know_goes_to_torchs_kernel() -> None:
    query = torch.zeros(A, H, Q, D)
    known: dict[str, Any] = {"dropout": 0.0, "softcap": None, "sliding_window": 5}
    assert fits(query, 10, known)
    assert not fits(query, 1 << 40, known)
    assert not fits(query, 10, {**known, "dropout": 0.1})
    assert not fits(query, 10, {**known, "softcap": 5.0})
    assert not fits(query.to("meta"), 10, known)
