"""The loops' maths: against each other, against TRL, and by hand."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.train.loops.trajectories import made_pairs

from whyguard.generation.models import load_model
from whyguard.train.loops import toy
from whyguard.train.loops.batch import LoopConfig, collate, epochs
from whyguard.train.loops.cao import anchor_divergence, train_cao
from whyguard.train.loops.dpo import train_dpo
from whyguard.train.loops.grpo import (
    Prompt,
    Sampling,
    group_advantages,
    policy_loss,
    toy_reward,
    train_grpo,
)
from whyguard.train.loops.sft import train_sft
from whyguard.train.segments import END_WEIGHT

torch.set_num_threads(1)
FAMILIES = toy.families(24, seed=0)
SHORT = LoopConfig(steps=4, batch_size=6, learning_rate=1e-3)


def test_cao_with_lam_0_goes_the_way_of_dpo_1e_5() -> None:
    pairs = made_pairs(FAMILIES)
    dpo = train_dpo(toy.toy_model(0), pairs, SHORT)
    cao = train_cao(toy.toy_model(0), pairs, SHORT, lam=0.0)
    for ours, theirs in zip(cao, dpo, strict=True):
        assert ours.loss == pytest.approx(theirs.loss, abs=1e-5)
        for name in ("accuracy", "margin"):
            assert ours.metrics[name] == pytest.approx(theirs.metrics[name], abs=1e-4)
    assert dpo[0].loss == pytest.approx(0.6931472, abs=1e-6)
    assert all(abs(step.metrics["margin"]) > 1e-3 for step in dpo[1:])


def test_the_anchor_changes_the_way() -> None:
    pairs = made_pairs(FAMILIES)
    free, held = (train_cao(toy.toy_model(0), pairs, SHORT, lam=lam) for lam in (0.0, 3.0))
    assert free[0].metrics["anchor"] == held[0].metrics["anchor"] == 0.0
    assert held[-1].metrics["anchor"] < free[-1].metrics["anchor"]
    assert held[-1].loss == pytest.approx(
        held[-1].metrics["preference"] + 3.0 * held[-1].metrics["anchor"], abs=1e-6)  # fmt: skip


def test_anchors_are_measured_on_the_completion_in_e() -> None:
    pairs = made_pairs(FAMILIES)[:3]
    model, reference = toy.toy_model(0), toy.toy_model(1)
    found_B = anchor_divergence(model, reference, pairs)
    row = pairs[1].anchor
    ids_1T = torch.tensor([row.input_ids])
    ref, policy = (
        m(input_ids=ids_1T).logits[0].double().log_softmax(-1) for m in (reference, model)
    )
    start = len(toy.prompt_ids(FAMILIES[1], toy.Speech.E))
    kl_T = (ref.exp() * (ref - policy)).sum(-1)[start - 1 : -1]
    assert found_B[1].item() == pytest.approx(kl_T.mean().item(), rel=1e-5)


def test_sft_loss_is_the_weighted_sum_of_segments_a_row_1e_5() -> None:
    rows = toy.mixed_rows(FAMILIES[:6], 2)
    model = toy.toy_model(0)
    by_hand = []
    for row in next(epochs(rows, 6, seed=0)):
        logps_TV = model(input_ids=torch.tensor([row.input_ids])).logits[0].log_softmax(-1)
        by_hand += [-weight * logps_TV[place - 1, row.input_ids[place]].item()
                    for place, weight in enumerate(row.loss_weights) if weight]  # fmt: skip
    step = train_sft(copy.deepcopy(model), rows, SHORT)[0]
    assert step.loss == pytest.approx(sum(by_hand) / 6, rel=1e-5)
    assert min(w for row in rows for w in row.loss_weights if w) == END_WEIGHT


def test_advantages_by_hand_and_without_a_spread() -> None:
    found = group_advantages([1.0, 3.0, 2.0, 5.0, 5.0, 5.0, 1.0, None, 2.0, None, None, 7.0], 3)
    half = 0.5 / (0.5**0.5 + 1e-4)
    expected = [-1 / 1.0001, 1 / 1.0001, 0, 0, 0, 0, -half, 0, half, 0, 0, 0]
    assert found.tolist() == pytest.approx(expected, abs=1e-6)


def _grpo_trainer(base: Path, folder: Path) -> Any:
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    loaded = load_model(f"path:{base}", device="cpu")
    args = GRPOConfig(output_dir=str(folder), use_cpu=True, bf16=False, report_to=[],
                      per_device_train_batch_size=4, num_generations=4, temperature=0.7,
                      activation_checkpointing=False)  # fmt: skip
    return GRPOTrainer(model=loaded.model, args=args, processing_class=loaded.tokenizer,
                       reward_funcs=lambda completions, **_: [0.0] * len(completions),
                       train_dataset=Dataset.from_list([{"prompt": "la casa"}] * 4))  # fmt: skip


def test_policy_loss_equals_trl_default_grpo_loss_1e_6(llama: Path, tmp_path: Path) -> None:
    trainer = _grpo_trainer(llama, tmp_path)
    assert (trainer.loss_type, trainer.beta, trainer.scale_rewards) == ("dapo", 0.0, "group")
    made = torch.Generator().manual_seed(1)
    ids_BT = torch.randint(3, 400, (4, 9), generator=made)
    mask_BS = torch.arange(6) < torch.tensor([[6], [2], [4], [5]])
    advantages_B = group_advantages([1.0, 0.0, 2.0, 0.5], 4)
    model = trainer.accelerator.unwrap_model(trainer.model)
    logits_BSV = model(input_ids=ids_BT).logits[:, 2:-1] / trainer.temperature
    logps_BS = logits_BSV.log_softmax(-1).gather(2, ids_BT[:, 3:, None])[..., 0]
    old_logps_BS = logps_BS.detach() + 0.3 * torch.randn(logps_BS.shape, generator=made)
    ours = policy_loss(logps_BS, old_logps_BS, advantages_B, mask_BS, trainer.epsilon_low)
    assert 0.0 < ours.clipped.item() < 1.0
    trainer.current_gradient_accumulation_steps = trainer.args.steps_per_generation = 1
    theirs = trainer._compute_loss(model, {
        "prompt_ids": ids_BT[:, :3], "prompt_mask": torch.ones(4, 3, dtype=torch.long),
        "completion_ids": ids_BT[:, 3:], "completion_mask": mask_BS.long(),
        "advantages": advantages_B, "old_per_token_logps": old_logps_BS,
        "num_items_in_batch": mask_BS.sum()})  # fmt: skip
    assert ours.loss.item() == pytest.approx(theirs.item(), abs=1e-6)
    grads = [torch.autograd.grad(loss, model.parameters()) for loss in (ours.loss, theirs)]
    for our, their in zip(*grads, strict=True):
        torch.testing.assert_close(our, their, atol=1e-6, rtol=0)


def test_grpo_counts_idle_groups_and_does_not_move_on_them() -> None:
    model = toy.toy_model(0)
    before = copy.deepcopy(model.state_dict())
    prompts = [Prompt(family, toy.Speech.E) for family in FAMILIES[:6]]
    steps = train_grpo(model, prompts, LoopConfig(2, 3, 1e-2), Sampling(group=2, new_tokens=4),
                       reward=lambda family, text: 1.0)  # fmt: skip
    assert [step.metrics["idle_groups"] for step in steps] == [3.0, 3.0]
    assert all(torch.equal(before[name], weight) for name, weight in model.state_dict().items())


def test_grpo_uses_a_batch_as_often_as_asked() -> None:
    prompts = [Prompt(family, toy.Speech.E) for family in FAMILIES]
    steps = train_grpo(toy.toy_model(0, initializer_range=0.01), prompts, LoopConfig(4, 3, 1e-2),
                       Sampling(group=4, new_tokens=6, iterations=2),
                       reward=lambda family, text: float(len(text)))  # fmt: skip
    rewards = [step.metrics["reward"] for step in steps]
    assert rewards[0] == rewards[1] != rewards[2] == rewards[3]
    assert steps[0].metrics["clipped"] == 0.0 < steps[1].metrics["clipped"]


def test_toy_rewards_are_the_guards_own() -> None:
    family = next(family for family in FAMILIES if family.category)
    row = toy.encoded(family, toy.Speech.E)
    right = toy.text_of(row.input_ids[len(toy.prompt_ids(family, toy.Speech.E)) :])
    assert toy_reward(family, right) == pytest.approx(7.0)
    assert toy_reward(family, right.replace("harmful", "unharmful")) == pytest.approx(6.0)


def test_padding_changes_nothing() -> None:
    rows = [toy.encoded(family, toy.Speech.E) for family in FAMILIES]
    batch = collate(rows)
    assert batch.completion_BS.sum().item() == sum(w > 0 for r in rows for w in r.loss_weights)
    assert batch.attention_BT.sum().item() == sum(len(row.input_ids) for row in rows)
