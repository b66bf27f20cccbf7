"""Prefixes and the cache with room."""

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.tiny import save_gemma
from transformers import Lfm2Config, Lfm2ForCausalLM

from whyguard.generation.models import Loaded, load_model
from whyguard.generation.teachers.local_cache import (
    PrefixShelf,
    RoomyLayer,
    can_share,
    common_prefix,
    roomy_cache,
)


@pytest.fixture(scope="module")
def gemma(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    return load_model(f"path:{save_gemma(tmp_path_factory.mktemp('models') / 'g')}", device="cpu")


def recurrent() -> Lfm2ForCausalLM:
    return Lfm2ForCausalLM(Lfm2Config(vocab_size=64, hidden_size=32, intermediate_size=32,
                                      num_hidden_layers=2, num_attention_heads=4,
                                      num_key_value_heads=2,
                                      layer_types=["conv", "full_attention"]))  # fmt: skip


def test_only_caches_of_keys_and_values_are_shared(gemma: Loaded, llama: Path) -> None:
    assert can_share(gemma.model)
    assert can_share(load_model(f"path:{llama}", device="cpu").model)
    assert not can_share(recurrent())


def test_a_layer_with_room_gives_what_was_written() -> None:
    layer = RoomyLayer(6)
    first, second = torch.randn(2, 3, 2, 4), torch.randn(2, 3, 1, 4)
    layer.update(first, -first)
    keys, values = layer.update(second, -second)
    assert torch.equal(keys, torch.cat([first, second], 2))
    assert torch.equal(values, -keys)
    layer.batch_select_indices(torch.tensor([1]))
    assert torch.equal(layer.keys, keys[1:])
    assert layer.get_seq_length() == 3


def test_a_prefix_moves_right_by_the_padding() -> None:
    layer = RoomyLayer(5)
    keys = torch.arange(1.0, 4.0).reshape(1, 1, 3, 1)
    layer.repeat(keys, keys, [0, 1, 4])
    assert layer.keys[:, 0, :, 0].tolist() == [[1, 2, 3], [0, 1, 2], [0, 0, 0]]


@pytest.mark.parametrize("shift", [0, 3, 40])
def test_logits_after_a_shared_prefix_are_those_of_the_prompt(gemma: Loaded, shift: int) -> None:
    # the window is 16 tokens: the prefix is longer, and the padding too in one case
    ids = torch.randint(4, 200, (1, 30), generator=torch.Generator().manual_seed(shift))
    length = ids.shape[1] + shift
    with torch.inference_mode():
        alone = gemma.model(input_ids=ids).logits[:, -1]
        prefix = PrefixShelf(gemma.model, "cpu").get(tuple(ids[0, :25].tolist()))
        cache = roomy_cache(gemma.model, length, prefix, [shift])
        padded = torch.cat([torch.zeros(1, shift, dtype=torch.long), ids], 1)
        mask = torch.tensor([[0] * shift + [1] * 30])
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        shared = gemma.model(input_ids=padded[:, 25:], attention_mask=mask, past_key_values=cache,
                             position_ids=positions[:, 25:]).logits[:, -1]  # fmt: skip
    assert torch.allclose(alone, shared, atol=1e-5)


def test_a_prefix_is_run_once_while_it_is_kept(gemma: Loaded) -> None:
    shelf = PrefixShelf(gemma.model, "cpu")
    with torch.inference_mode():
        first = shelf.get((5, 6, 7))
        assert shelf.get((5, 6, 7)) is first
        for token in range(8, 12):
            shelf.get((5, 6, token))
        assert shelf.get((5, 6, 7)) is not first


@given(st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=8), min_size=1, max_size=6))
def test_the_common_prefix_leaves_each_prompt_a_token(prompts: list[list[int]]) -> None:
    shared = common_prefix(prompts)
    assert all(tuple(prompt[: len(shared)]) == shared for prompt in prompts)
    assert all(len(shared) < len(prompt) for prompt in prompts)
    longer = {tuple(prompt[: len(shared) + 1]) for prompt in prompts}
    assert len(longer) > 1 or any(len(prompt) == len(shared) + 1 for prompt in prompts)
