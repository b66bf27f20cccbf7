"""train/fast/floor.py: operations as torch's own counter finds them, and the preamble's share."""

from typing import Any, NamedTuple

import pytest
import torch
from tests.train.fast.making import make_model, make_row, with_lora
from torch.utils.flop_counter import FlopCounterMode

from whyguard.train.fast.batch import make_batch
from whyguard.train.fast.floor import RowLengths, Trained, model_shape, step_cost
from whyguard.train.fast.install import install
from whyguard.train.fast.losses import weighted_nll

PREAMBLE, TALKS, ANSWERS = 40, (12, 15, 9), (20, 18, 25)


class Counted(NamedTuple):
    linear: int
    attention: int


def _counted(model: Any, share: bool, train: bool) -> Counted:
    """Operations of a step by torch's counter; eager attention multiplies batches of matrices."""
    rows = [make_row([*[1] * PREAMBLE, *[10 + n] * talk], [30 + n] * answer)
            for n, (talk, answer) in enumerate(zip(TALKS, ANSWERS, strict=True))]  # fmt: skip
    batch = make_batch(rows, share=share)
    with FlopCounterMode(display=False) as counter, torch.set_grad_enabled(train):
        total = weighted_nll(model, batch).total
        if train:
            torch.autograd.backward(total)
    found = counter.get_flop_counts()["Global"]
    batched = found.pop(torch.ops.aten.bmm)
    return Counted(sum(found.values()), batched)


def _lengths() -> list[RowLengths]:
    # the last token of a row is not run
    return [RowLengths(PREAMBLE, talk + answer - 1, answer)
            for talk, answer in zip(TALKS, ANSWERS, strict=True)]  # fmt: skip


@pytest.mark.parametrize("family", ["llama", "gemma3", "qwen3"])
@pytest.mark.parametrize("share", [True, False])
def test_linear_and_head_operations_are_exactly_those_counted(family: str, share: bool) -> None:
    model = make_model(family, "eager", hidden_size=64)
    install(model)
    shape = model_shape(model.config)
    for train, trained in ((False, Trained.NOTHING), (True, Trained.FULL)):
        cost = step_cost(shape, _lengths(), trained, share=share)
        counted = _counted(model, share, train)
        # torch's counter does not know addmm_, which sums up the gradient of the head's weight
        unknown = 2 * shape.head_weights * sum(ANSWERS) if train else 0
        assert cost.linear + cost.head == counted.linear + unknown
        # the counted attention is dense: both triangles, padding, keys outside of the window
        assert cost.attention < counted.attention


def test_adapters_need_two_thirds_of_the_linear_operations_and_their_own() -> None:
    model = with_lora(make_model("llama", "eager"))
    install(model)
    adapters = step_cost(model_shape(model.config), _lengths(), Trained.ADAPTERS)
    counted, expected = _counted(model, True, True).linear, adapters.linear + adapters.head
    own = sum(p.numel() for p in model.parameters() if p.requires_grad)
    tokens = PREAMBLE + sum(row.own for row in _lengths())
    # forward, and the gradients of weights and of what goes in: those of the first layer's are not
    assert 4 * own * tokens <= counted - expected <= 6 * own * tokens


def test_sharing_saves_the_preamble_of_all_rows_but_one() -> None:
    shape = model_shape(make_model("llama").config)
    rows = _lengths()
    shared, whole = step_cost(shape, rows), step_cost(shape, rows, share=False)
    own = sum(row.own for row in rows)
    assert shared.linear / whole.linear == pytest.approx((PREAMBLE + own) / (3 * PREAMBLE + own))
    everywhere = step_cost(shape, rows, share=False, every_position=True)
    assert everywhere.head / whole.head == pytest.approx((3 * PREAMBLE + own) / sum(ANSWERS))
    assert shared.total == shared.linear + shared.attention + shared.head


def test_windows_bound_the_pairs() -> None:
    shape = model_shape(make_model("gemma3", window=6).config)
    assert shape.windows == (6, None, 6, None)
    one = RowLengths(0, 10, 4)
    narrow = step_cost(shape._replace(windows=(6,)), [one], Trained.NOTHING).attention
    wide = step_cost(shape._replace(windows=(None,)), [one], Trained.NOTHING).attention
    assert narrow == 4 * 32 * (1 + 2 + 3 + 4 + 5 + 6 * 5)
    assert wide == 4 * 32 * 55
