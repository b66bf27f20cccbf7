"""train/fast/losses.py: the stages' losses equal the flat loops and TRL's way of summing."""

from typing import Any

import pytest
import torch
from tests.train.fast.making import (
    gradients,
    make_model,
    make_row,
    make_rows,
    plain_logps,
    with_lora,
    worst,
)
from torch import Tensor
from torch.nn.functional import kl_div

from whyguard.core.errors import DataError
from whyguard.train.cao import cao_loss
from whyguard.train.fast.batch import make_batch
from whyguard.train.fast.head import Frozen
from whyguard.train.fast.install import install
from whyguard.train.fast.losses import (
    anchor_kl_from_hidden,
    anchored_logps,
    hidden_states,
    row_sums,
    token_logps,
    weighted_nll,
)
from whyguard.train.segments import Encoded

PREAMBLE = [5, 17, 40, 41, 8, 9, 12, 77, 3]


def _triples(count: int = 4) -> tuple[list[Encoded], list[Encoded], list[Encoded]]:
    chosen, rejected, anchors = [], [], []
    for n in range(count):
        local, english = [*PREAMBLE, 20 + n, 30][: 11 - n % 2], [*PREAMBLE, 60 + n, 61, 62]
        answer, wrong = [7, *range(n + 3), 2], [7, 11 + n, 2]
        chosen.append(make_row(local, answer))
        rejected.append(make_row(local, wrong))
        anchors.append(make_row(english, answer, [1 / len(answer)] * len(answer)))
    return chosen, rejected, anchors


def _cao(policy: Any, reference: Any) -> Any:
    """The loss as the stages put it together, and its parts by row."""
    chosen, rejected, anchors = _triples()
    count = len(chosen)
    batch = make_batch([*chosen, *rejected, *anchors])
    with torch.no_grad():
        states = hidden_states(reference, make_batch(anchors))
        refs = row_sums(token_logps(reference, make_batch([*chosen, *rejected])),
                        make_batch([*chosen, *rejected]).counts)  # fmt: skip
    head = Frozen(reference.get_output_embeddings().weight.detach())
    found = anchored_logps(policy, batch, count, states, head)
    sums = row_sums(found.logps_N, batch.counts[: 2 * count])
    kl_B = row_sums(found.kl.weighted_N, batch.counts[2 * count :])
    return cao_loss(sums[:count], sums[count:], refs[:count], refs[count:], kl_B, 0.1, 0.7)


def _plain_cao(policy: Any, reference: Any) -> Any:
    chosen, rejected, anchors = _triples()

    def sums(model: Any, rows: list[Encoded]) -> Tensor:
        return torch.stack([plain_logps(model, row).sum() for row in rows])

    def logps(model: Any, row: Encoded) -> Tensor:
        found = model(input_ids=torch.tensor([row.input_ids]), use_cache=False).logits[0]
        at = [t - 1 for t, weight in enumerate(row.loss_weights) if weight]
        return found.log_softmax(-1)[at]  # type: ignore[no-any-return]

    with torch.no_grad():
        refs = sums(reference, chosen), sums(reference, rejected)
        wanted = [logps(reference, row) for row in anchors]
    kl_B = torch.stack([
        kl_div(logps(policy, row), ref, reduction="none", log_target=True).sum(-1).mean()
        for row, ref in zip(anchors, wanted, strict=True)
    ])  # fmt: skip
    return cao_loss(sums(policy, chosen), sums(policy, rejected), *refs, kl_B, 0.1, 0.7)


@pytest.mark.parametrize("tuning", ["full", "lora"])
@pytest.mark.parametrize("family", ["llama", "gemma3", "qwen3"])
def test_cao_with_a_reference_from_hidden_states_loss_1e5_gradients_1e4(
    family: str, tuning: str
) -> None:
    policy, reference = make_model(family), make_model(family, seed=5)
    policy = with_lora(policy) if tuning == "lora" else policy
    plain, wanted = gradients(policy, lambda: _plain_cao(policy, reference).loss)
    install(policy)
    install(reference)
    loss, found = gradients(policy, lambda: _cao(policy, reference).loss)
    assert loss == pytest.approx(plain, rel=1e-5)
    assert worst(found, wanted) < 1e-4
    ours, naive = _cao(policy, reference), _plain_cao(policy, reference)
    assert ours.preference == pytest.approx(naive.preference.item(), rel=1e-5)
    assert ours.anchor == pytest.approx(naive.anchor.item(), rel=1e-5)


def test_anchor_kl_is_0_with_0_gradient_where_policy_is_reference() -> None:
    model = make_model("gemma3")
    install(model)
    batch = make_batch(_triples()[2])
    with torch.no_grad():
        states = hidden_states(model, batch)
    head = Frozen(model.get_output_embeddings().weight.detach().clone())
    kl = anchor_kl_from_hidden(model, batch, states, head)
    torch.autograd.backward(kl.total)
    assert not kl.values_N.any()
    assert all(not p.grad.any() for p in model.parameters())


def test_hidden_states_of_other_rows_are_an_error() -> None:
    model = make_model("llama")
    install(model)
    chosen, rejected, anchors = _triples()
    head = Frozen(model.lm_head.weight.detach())
    with pytest.raises(DataError, match="hidden states of the reference"):
        anchor_kl_from_hidden(model, make_batch(anchors), torch.zeros(3, 32), head)
    with pytest.raises(DataError, match="hidden states of the reference"):
        anchored_logps(model, make_batch([*chosen, *rejected, *anchors]), 4,
                       torch.zeros(3, 32), head)  # fmt: skip


def test_nll_reports_log_probabilities_and_rows_sum_up() -> None:
    model, rows = make_model("llama"), make_rows(4, preamble=6)
    install(model)
    batch = make_batch(rows)
    terms, logps_N = weighted_nll(model, batch), token_logps(model, batch)
    assert torch.allclose(terms.values_N, -logps_N, atol=1e-6)
    assert not terms.values_N.requires_grad
    by_row = row_sums(logps_N, batch.counts)
    for found, row in zip(by_row, rows, strict=True):
        assert torch.allclose(found, plain_logps(model, row).sum(), atol=1e-4)
    assert row_sums(torch.tensor([1.0, 2.0]), (0, 2, 0)).tolist() == [0.0, 3.0, 0.0]


def test_a_muted_batch_has_loss_0_and_gradients_0() -> None:
    model = make_model("gemma3")
    install(model)
    total = weighted_nll(model, make_batch(make_rows(3, preamble=4)).muted()).total
    torch.autograd.backward(total)
    assert total.item() == 0
    assert all(p.grad is not None and not p.grad.any() for p in model.parameters())
