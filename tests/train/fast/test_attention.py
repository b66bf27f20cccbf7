"""train/fast/attention.py: windows of any width, and rows that never see each other."""

import pytest
import torch
from tests.train.fast.making import (
    gradients,
    make_model,
    make_row,
    make_rows,
    plain_loss,
    worst,
)

from whyguard.train.fast.attention import shared_attention
from whyguard.train.fast.batch import make_batch
from whyguard.train.fast.install import install
from whyguard.train.fast.losses import token_logps, weighted_nll


@pytest.mark.parametrize("window", [2, 7, 15, 16, 17, 19, 64])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_windows_below_at_and_above_the_preamble_loss_1e5_gradients_1e4(
    window: int, attention: str
) -> None:
    model, rows = make_model("gemma3", attention, window=window), make_rows(4, preamble=16)
    wanted_loss, wanted = gradients(model, lambda: plain_loss(model, rows))
    install(model)
    loss, found = gradients(model, lambda: weighted_nll(model, make_batch(rows)).total / len(rows))
    assert loss == pytest.approx(wanted_loss, rel=1e-5)
    assert worst(found, wanted) < 1e-4


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("family", ["llama", "gemma3"])
def test_what_another_row_says_changes_nothing(family: str, attention: str) -> None:
    model = make_model(family, attention)
    install(model)
    start = list(range(3, 15))
    first = make_row([*start, 20, 21], [30, 31, 2])
    found = []
    for token in (50, 60):
        batch = make_batch([first, make_row([*start, token, token], [token, 2])])
        with torch.no_grad():
            found.append(token_logps(model, batch)[: batch.counts[0]])
    assert torch.equal(*found)


def test_a_module_without_an_eager_function_is_an_error() -> None:
    state = torch.zeros(1, 1, 2, 2)
    with pytest.raises(TypeError, match="Linear has no eager attention function"):
        shared_attention(None)(torch.nn.Linear(2, 2), state, state, state, None)
