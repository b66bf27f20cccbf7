"""The fast path takes the very steps of the flat loops in `train/loops/`, which are the oracle."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from whyguard.core.values import Label
from whyguard.train.cao import cao_loss
from whyguard.train.fast.batch import make_batch
from whyguard.train.fast.head import Frozen
from whyguard.train.fast.install import install
from whyguard.train.fast.losses import anchored_logps, hidden_states, row_sums, weighted_nll
from whyguard.train.loops import toy
from whyguard.train.loops.batch import LoopConfig, Step, epochs
from whyguard.train.loops.cao import train_cao
from whyguard.train.loops.dpo import train_dpo
from whyguard.train.loops.pairs import Pair
from whyguard.train.loops.sft import train_sft
from whyguard.train.segments import Encoded

torch.set_num_threads(1)
CONFIG = LoopConfig(steps=6, batch_size=4, learning_rate=1e-3, seed=3)
FAMILIES = toy.families(10, 0)


def _pairs() -> list[Pair]:
    """Right and wrong verdicts after the right reasoning, of unlike lengths."""
    found = []
    for number, family in enumerate(FAMILIES):
        think, right = toy.segments(family, toy.Speech.T)[:2]
        other = Label.UNHARMFUL if family.label == Label.HARMFUL else Label.HARMFUL
        wrong = [toy.IDS["<judge>"], toy.IDS[other.value], toy.JUDGED]
        local, english = (toy.prompt_ids(family, speech) for speech in (toy.Speech.T, toy.Speech.E))
        completions = ((local, [*think, *right]), (local, think * (number % 2) + wrong),
                       (english, [*think, *right]))  # fmt: skip
        found.append(Pair(*(toy.encode(prompt, [(ids, float(len(ids)))])
                            for prompt, ids in completions)))  # fmt: skip
    return found


def _mean(row: Encoded) -> Encoded:
    """The row with weights that sum to 1: the mean over its tokens."""
    total = sum(row.loss_weights)
    return row._replace(loss_weights=[weight / total for weight in row.loss_weights])


def _stepped(
    model: Any, items: Sequence[Any], loss_of: Callable[[list[Any]], Tensor]
) -> list[float]:
    """The losses of the loops' optimiser, batches and clipping with another loss."""
    optimiser = torch.optim.AdamW(model.parameters(), CONFIG.learning_rate, weight_decay=0.0)
    batches = epochs(items, CONFIG.batch_size, CONFIG.seed)
    losses = []
    for _ in range(CONFIG.steps):
        loss = loss_of(next(batches))
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(model.parameters(), CONFIG.max_grad_norm)
        optimiser.step()
        losses.append(loss.item())
    return losses


def _fast_cao(model: Any, beta: float, lam: float) -> Callable[[list[Pair]], Tensor]:
    reference = toy.toy_model(0)
    install(reference)
    head = Frozen(reference.get_output_embeddings().weight.detach().clone())

    def loss(pairs: list[Pair]) -> Tensor:
        size, anchors = len(pairs), [_mean(pair.anchor) for pair in pairs]
        sides = [*(pair.chosen for pair in pairs), *(pair.rejected for pair in pairs)]
        batch = make_batch([*sides, *anchors])
        counts = batch.counts
        with torch.no_grad():
            states = hidden_states(reference, make_batch(anchors))
            before = anchored_logps(reference, batch, size, states, head).logps_N
        found = anchored_logps(model, batch, size, states, head)
        ours, theirs = (row_sums(logps, counts[: 2 * size]) for logps in (found.logps_N, before))
        kl_B = row_sums(found.kl.weighted_N, counts[2 * size :])
        return cao_loss(ours[:size], ours[size:], theirs[:size], theirs[size:], kl_B, beta,
                        lam).loss  # fmt: skip

    return loss


def _same(flat: Any, fast: Any, steps: Sequence[Step], losses: Sequence[float]) -> None:
    assert losses == pytest.approx([step.loss for step in steps], rel=1e-5)
    assert abs(losses[0] - losses[-1]) > 1e-3, "it trained"
    for name, value in flat.state_dict().items():
        assert torch.allclose(fast.state_dict()[name], value, atol=1e-5), name


def test_sft_takes_the_flat_loops_steps_loss_1e5_weights_1e5() -> None:
    rows = toy.mixed_rows(FAMILIES, 3)
    flat, fast = toy.toy_model(0), toy.toy_model(0)
    steps = train_sft(flat, rows, CONFIG)
    install(fast.train())
    losses = _stepped(fast, rows, lambda rows: weighted_nll(fast, make_batch(rows)).total
                      / len(rows))  # fmt: skip
    _same(flat, fast, steps, losses)


@pytest.mark.parametrize("lam", [0.0, 1.0])
def test_cao_takes_the_flat_loops_steps_loss_1e5_weights_1e5(lam: float) -> None:
    flat, fast = toy.toy_model(0), toy.toy_model(0)
    steps = train_cao(flat, _pairs(), CONFIG, beta=0.5, lam=lam)
    assert lam == 0 or steps[-1].metrics["anchor"] > 1e-6
    install(fast.train())
    _same(flat, fast, steps, _stepped(fast, _pairs(), _fast_cao(fast, 0.5, lam)))


def test_dpo_takes_the_flat_loops_steps_loss_1e5_weights_1e5() -> None:
    flat, fast = toy.toy_model(0), toy.toy_model(0)
    steps = train_dpo(flat, _pairs(), CONFIG, beta=0.5)
    install(fast.train())
    _same(flat, fast, steps, _stepped(fast, _pairs(), _fast_cao(fast, 0.5, 0.0)))
