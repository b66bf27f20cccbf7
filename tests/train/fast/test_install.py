"""train/fast/install.py: the fast path equals the plain forward, in loss and gradients."""

import copy
import inspect
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.train.fast.making import (
    FAMILIES,
    gradients,
    make_model,
    make_row,
    make_rows,
    plain_logps,
    plain_loss,
    with_lora,
    worst,
)

from whyguard.core.errors import ConfigError
from whyguard.train.fast.batch import make_batch
from whyguard.train.fast.install import install, verify
from whyguard.train.fast.losses import token_logps, weighted_nll
from whyguard.train.segments import Encoded

LOSS = 1e-5
GRADIENT = 1e-4


def _fast_loss(model: Any, rows: list[Encoded], share: bool = True) -> torch.Tensor:
    return weighted_nll(model, make_batch(rows, share=share)).total / len(rows)


def _compare(model: Any, rows: list[Encoded], share: bool = True) -> None:
    wanted_loss, wanted = gradients(model, lambda: plain_loss(model, rows))
    install(model)
    loss, found = gradients(model, lambda: _fast_loss(model, rows, share))
    assert loss == pytest.approx(wanted_loss, rel=LOSS)
    assert worst(found, wanted) < GRADIENT


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("family", FAMILIES)
def test_full_equals_the_plain_forward_loss_1e5_gradients_1e4(family: str, attention: str) -> None:
    _compare(make_model(family, attention), make_rows(6, preamble=15))


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("family", FAMILIES)
def test_lora_equals_the_plain_forward_loss_1e5_gradients_1e4(family: str, attention: str) -> None:
    _compare(with_lora(make_model(family, attention)), make_rows(6, preamble=15))


@pytest.mark.parametrize("adapted", [False, True], ids=["full", "lora"])
def test_other_families_loss_1e5_gradients_1e4(adapted: bool) -> None:
    capped: dict[str, Any] = {"attn_logit_softcapping": 5.0, "final_logit_softcapping": 4.0}
    for model in (make_model("mistral"), make_model("gemma2", "eager", **capped)):
        _compare(with_lora(model) if adapted else model, make_rows(3, preamble=9))


def test_a_head_with_bias_and_one_with_adapters_loss_1e5_gradients_1e4() -> None:
    model = make_model("llama")
    model.lm_head.bias = torch.nn.Parameter(torch.randn(model.config.vocab_size))
    _compare(model, make_rows(3, preamble=5))
    adapted = with_lora(make_model("llama"), ["q_proj", "lm_head"])
    _compare(adapted, make_rows(3, preamble=5))
    assert any("lm_head" in name for name, p in adapted.named_parameters() if p.requires_grad)


@pytest.mark.parametrize("reentrant", [True, False])
@pytest.mark.parametrize("family", ["llama", "gemma3"])
def test_activation_checkpointing_loss_1e5_gradients_1e4(family: str, reentrant: bool) -> None:
    model, rows = make_model(family), make_rows(5, preamble=12)
    wanted_loss, wanted = gradients(model, lambda: plain_loss(model, rows))
    install(model)
    model.gradient_checkpointing_enable({"use_reentrant": reentrant})
    assert model.is_gradient_checkpointing
    if reentrant:
        model.enable_input_require_grads()
    loss, found = gradients(model, lambda: _fast_loss(model, rows))
    assert loss == pytest.approx(wanted_loss, rel=LOSS)
    assert worst(found, wanted) < GRADIENT


def test_activation_checkpointing_keeps_less() -> None:
    model, batch = make_model("gemma3"), make_batch(make_rows(5, preamble=12))
    install(model)
    kept: dict[bool, int] = {}
    for on in (False, True):
        if on:
            model.gradient_checkpointing_enable({"use_reentrant": False})
        sizes: list[int] = []

        def keep(tensor: torch.Tensor, sizes: list[int] = sizes) -> torch.Tensor:
            sizes.append(tensor.numel())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            weighted_nll(model, batch)
        kept[on] = sum(sizes)
    assert kept[True] < 0.5 * kept[False]


def test_activation_checkpointing_with_lora_loss_1e5_gradients_1e4() -> None:
    model, rows = with_lora(make_model("gemma3")), make_rows(5, preamble=12)
    wanted_loss, wanted = gradients(model, lambda: plain_loss(model, rows))
    install(model)
    model.gradient_checkpointing_enable({"use_reentrant": False})
    loss, found = gradients(model, lambda: _fast_loss(model, rows))
    assert loss == pytest.approx(wanted_loss, rel=LOSS)
    assert worst(found, wanted) < GRADIENT


def _edge_rows() -> dict[str, list[Encoded]]:
    start = [4, 8, 15, 16, 23, 42]
    rows = make_rows(5, preamble=7)
    return {
        "no preamble": [make_row([3, 5], [7, 2]), make_row([9], [7, 7, 2]), make_row([5, 3], [2])],
        "all but one token": [make_row(start, [token]) for token in (11, 12, 13)],
        "a whole prompt in common": [make_row(start, [11, 2]), make_row(start, [11, 9, 9, 2])],
        "one row begins another": [make_row(start, [11]), make_row(start, [11, 9, 2])],
        "the same row twice": [rows[0], rows[1], rows[0]],
        "one row": rows[:1],
        "pad is eos": [make_row([2, 2, *start], [2, 5, 2]), make_row([2, 2, 3], [2])],
        "holes in the completion": [make_row(start, [5, 6, 7, 8], [1.0, 0.0, 0.0, 2.0]), *rows[:2]],
        "a row without targets": [make_row(start, [5, 6], [0.0, 0.0]), make_row(start, [7, 2])],
    }


@pytest.mark.parametrize("family", ["llama", "gemma3"])
@pytest.mark.parametrize("case", sorted(_edge_rows()))
def test_edge_cases_loss_1e5_gradients_1e4(case: str, family: str) -> None:
    rows = _edge_rows()[case]
    model = make_model(family)

    def plain() -> torch.Tensor:
        kept = [row for row in rows if any(row.loss_weights)]
        return plain_loss(model, kept) * len(kept) / len(rows)

    wanted_loss, wanted = gradients(model, plain)
    install(model)
    loss, found = gradients(model, lambda: _fast_loss(model, rows))
    assert loss == pytest.approx(wanted_loss, rel=LOSS)
    kept = {name: grad for name, grad in wanted.items() if grad.norm() > 1e-6}
    assert worst({name: found[name] for name in kept}, kept) < GRADIENT
    assert all(found[name].norm() < 1e-5 for name in set(wanted) - set(kept))


def test_without_sharing_it_is_the_same_loss_1e5_gradients_1e4() -> None:
    _compare(make_model("gemma3"), make_rows(4, preamble=10), share=False)


def test_accumulating_eight_batches_of_one_equals_one_of_eight_gradients_1e4() -> None:
    model, rows = make_model("gemma3"), make_rows(8, preamble=10)
    install(model)
    loss, wanted = gradients(model, lambda: _fast_loss(model, rows))
    model.zero_grad()
    total = 0.0
    for row in rows:
        part = weighted_nll(model, make_batch([row])).total / len(rows)
        torch.autograd.backward(part)
        total += float(part.detach())
    found = {name: parameter.grad for name, parameter in model.named_parameters()}
    assert total == pytest.approx(loss, rel=LOSS)
    assert worst(found, wanted) < GRADIENT


@pytest.mark.parametrize("family", ["llama", "gemma3"])
def test_bf16_autocast_loss_within_2_percent_gradients_within_10_percent(family: str) -> None:
    model = make_model(family, initializer_range=0.05)
    rows = make_rows(6, preamble=12)
    wanted_loss, wanted = gradients(model, lambda: plain_loss(model, rows))
    install(model)

    def narrow() -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return _fast_loss(model, rows)

    loss, found = gradients(model, narrow)  # the backward pass outside of autocast, as in trainers
    assert loss == pytest.approx(wanted_loss, rel=0.02)
    assert worst(found, wanted) < 0.1
    assert all(gradient.dtype == torch.float32 for gradient in found.values())


def test_fp64_equals_the_plain_forward_1e12() -> None:
    model, rows = make_model("gemma3").double(), make_rows(4, preamble=10)
    plain = torch.cat([plain_logps(model, row) for row in rows])
    install(model)
    logps = token_logps(model, make_batch(rows))
    assert logps.dtype == torch.float64
    assert torch.allclose(logps, plain, atol=1e-12, rtol=0)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_the_plain_forward_and_generation_stay_the_same(attention: str) -> None:
    model = make_model("gemma3", attention).eval()
    ids = torch.tensor([[1, 5, 9, 33, 8, 7, 21, 60], [2, 2, 5, 9, 33, 8, 7, 21]])
    mask = (torch.arange(8) >= torch.tensor([[0], [2]])).long()
    before = model(input_ids=ids, attention_mask=mask).logits
    told = model.generate(ids, attention_mask=mask, max_new_tokens=9, do_sample=False)
    install(model)
    assert torch.equal(model(input_ids=ids, attention_mask=mask).logits, before)
    again = model.generate(ids, attention_mask=mask, max_new_tokens=9, do_sample=False)
    assert torch.equal(again, told)


def test_a_saved_model_does_not_know_of_it(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    model = make_model("gemma3").eval()
    install(model)
    model.save_pretrained(tmp_path)
    assert "guard" not in json.dumps(json.loads((tmp_path / "config.json").read_text("utf-8")))
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path)
    ids = torch.tensor([[1, 5, 9, 33]])
    assert torch.equal(loaded(ids).logits, model(ids).logits)


def test_the_signature_keeps_its_names_and_gains_one() -> None:
    model = make_model("llama")
    names = set(inspect.signature(model.forward).parameters)
    install(model)
    assert set(inspect.signature(model.forward).parameters) == names | {"guard_call"}


def test_a_copy_runs_its_own_weights() -> None:
    model, batch = make_model("llama"), make_batch(make_rows(2, preamble=4))
    install(model)
    install(model)  # again: nothing changes
    other = copy.deepcopy(model)
    with torch.no_grad():
        before = token_logps(model, batch)
        for parameter in other.parameters():
            parameter.mul_(1.5)
        assert not torch.allclose(token_logps(other, batch), before)
        assert torch.equal(token_logps(model, batch), before)


def test_a_forward_that_was_replaced_before_is_kept() -> None:
    model = make_model("llama")
    plain, seen = model.forward, []

    def counted(*args: Any, **kwargs: Any) -> Any:
        seen.append(1)
        return plain(*args, **kwargs)

    model.forward = counted
    install(model)
    model(torch.tensor([[1, 2]]))
    assert seen == [1]


@pytest.mark.parametrize("family", FAMILIES)
def test_verify_finds_nothing_on_known_families(family: str) -> None:
    model = make_model(family)
    install(model)
    assert verify(model).found < 1e-4
    assert model.training


def test_verify_refuses_a_model_that_does_something_else_with_its_logits() -> None:
    model = make_model("llama")
    plain = model.forward

    def scaled(*args: Any, **kwargs: Any) -> Any:
        out = plain(*args, **kwargs)
        out.logits = out.logits * 0.5
        return out

    model.forward = scaled
    install(model)
    with pytest.raises(ConfigError, match="plain forward's log-probabilities"):
        verify(model)


def test_a_changed_attention_is_an_error_and_not_another_result() -> None:
    model = make_model("llama")
    install(model)
    model.config._attn_implementation = "sdpa"
    with pytest.raises(ConfigError, match="attention layers that follow"):
        token_logps(model, make_batch(make_rows(2, preamble=4)))


def test_what_is_not_supported_is_refused() -> None:
    flash = make_model("llama")
    flash.config._attn_implementation = "flash_attention_2"
    with pytest.raises(ConfigError, match="load the model with attn_implementation sdpa"):
        install(flash)
    both_ways = make_model("gemma3", use_bidirectional_attention=True)
    with pytest.raises(ConfigError, match="causal attention"):
        install(both_ways)
    scaled = make_model("llama")
    scaled.config.logits_scaling = 8.0
    with pytest.raises(ConfigError, match="logits that are not scaled"):
        install(scaled)


def test_recurrent_layers_are_refused() -> None:
    from transformers import MambaConfig, MambaForCausalLM

    config = MambaConfig(vocab_size=50, hidden_size=16, num_hidden_layers=1, state_size=4)
    with pytest.raises(ConfigError, match=r"fast path on MambaForCausalLM"):
        install(MambaForCausalLM(config))
