"""The exactness of the fast path on a CUDA device."""

from collections.abc import Iterator

import pytest
import torch
from tests.train.fast.making import (
    FAMILIES,
    gradients,
    make_model,
    make_rows,
    plain_loss,
    with_lora,
    worst,
)

from whyguard.train.fast.batch import make_batch
from whyguard.train.fast.install import install, verify
from whyguard.train.fast.losses import weighted_nll

pytestmark = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="no CUDA device: the fast path was compared on CPU only"
)


@pytest.fixture(autouse=True)
def exact_matmuls() -> Iterator[None]:
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = False
    yield
    torch.backends.cuda.matmul.allow_tf32 = before


@pytest.mark.parametrize("tuning", ["full", "lora"])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("family", FAMILIES)
def test_gpu_equals_the_plain_forward_loss_1e5_gradients_1e4(
    family: str, attention: str, tuning: str
) -> None:
    model = make_model(family, attention)
    model = (with_lora(model) if tuning == "lora" else model).cuda()
    rows = make_rows(6, preamble=15)
    wanted_loss, wanted = gradients(model, lambda: plain_loss(model, rows))
    install(model)
    batch = make_batch(rows).to("cuda")
    loss, found = gradients(model, lambda: weighted_nll(model, batch).total / len(rows))
    assert loss == pytest.approx(wanted_loss, rel=1e-5)
    assert worst(found, wanted) < 1e-4
    assert verify(model).found < 1e-3


@pytest.mark.parametrize("family", FAMILIES)
def test_gpu_bf16_autocast_loss_within_2_percent_gradients_within_10_percent(family: str) -> None:
    model, rows = make_model(family, initializer_range=0.05).cuda(), make_rows(6, preamble=12)
    wanted_loss, wanted = gradients(model, lambda: plain_loss(model, rows))
    install(model)
    batch = make_batch(rows).to("cuda")

    def narrow() -> torch.Tensor:
        with torch.autocast("cuda", torch.bfloat16):
            return weighted_nll(model, batch).total / len(rows)

    loss, found = gradients(model, narrow)
    assert loss == pytest.approx(wanted_loss, rel=0.02)
    assert worst(found, wanted) < 0.1
