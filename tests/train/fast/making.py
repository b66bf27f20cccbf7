"""Tiny models of several families, rows with a common preamble, and the plain forward as oracle."""

import random
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from whyguard.train.segments import IGNORED, Encoded

VOCABULARY = 97
FAMILIES = ("llama", "gemma3", "qwen3", "qwen2")
Gradients = dict[str, Tensor]


def make_model(family: str, attention: str = "sdpa", *, seed: int = 0, window: int = 6,
               **extra: Any) -> Any:  # fmt: skip
    """A four-layer model in training mode; weights large enough that attention matters."""
    import transformers as hf

    torch.set_num_threads(1)
    torch.manual_seed(seed)
    shape: dict[str, Any] = {
        "vocab_size": VOCABULARY, "hidden_size": 32, "intermediate_size": 48,
        "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2,
        "attn_implementation": attention, "initializer_range": 0.2, "pad_token_id": 2,
        "eos_token_id": 2, "bos_token_id": 1, "tie_word_embeddings": family == "gemma3", **extra,
    }  # fmt: skip
    types = ["sliding_attention", "full_attention"] * 2
    sliding: dict[str, Any] = {"sliding_window": window, "layer_types": types}
    model = {
        "llama": lambda: hf.LlamaForCausalLM(hf.LlamaConfig(**shape)),
        "gemma3": lambda: hf.Gemma3ForCausalLM(
            hf.Gemma3TextConfig(**{"head_dim": 8, **shape, **sliding})
        ),
        "gemma2": lambda: hf.Gemma2ForCausalLM(
            hf.Gemma2Config(**{"head_dim": 8, **shape, **sliding})
        ),
        "qwen3": lambda: hf.Qwen3ForCausalLM(hf.Qwen3Config(**{"head_dim": 8, **shape})),
        "qwen2": lambda: hf.Qwen2ForCausalLM(
            hf.Qwen2Config(**shape, use_sliding_window=True, sliding_window=window,
                           max_window_layers=2)
        ),
        "mistral": lambda: hf.MistralForCausalLM(
            hf.MistralConfig(**shape, sliding_window=window)
        ),
    }[family]()  # fmt: skip
    return model.train()


def with_lora(model: Any, targets: str | list[str] = "all-linear") -> Any:
    """LoRA whose B matrices are not 0, so that adapters matter."""
    from peft import LoraConfig, get_peft_model

    wrapped = get_peft_model(model, LoraConfig(r=4, lora_alpha=8, target_modules=targets,
                                               task_type="CAUSAL_LM"))  # fmt: skip
    torch.manual_seed(1)
    for name, parameter in wrapped.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.2)
    return wrapped


def make_row(prompt: Sequence[int], completion: Sequence[int],
             weights: Sequence[float] | None = None) -> Encoded:  # fmt: skip
    """A row that predicts its completion; weights 1 if none are given."""
    ids, start = [*prompt, *completion], len(prompt)
    given = list(weights) if weights is not None else [1.0] * len(completion)
    return Encoded(ids, [IGNORED] * start + ids[start:], [0.0] * start + given)


def make_rows(count: int, preamble: int, seed: int = 0) -> list[Encoded]:
    """Ragged rows: a common preamble, 1 to 9 tokens of conversation, 1 to 12 of completion."""
    rng = random.Random(seed)
    start = [rng.randrange(VOCABULARY) for _ in range(preamble)]
    rows = []
    for _ in range(count):
        talk = [rng.randrange(VOCABULARY) for _ in range(rng.randint(1, 9))]
        answer = [rng.randrange(VOCABULARY) for _ in range(rng.randint(1, 12))] + [2]
        rows.append(make_row([*start, *talk], answer, [0.1 + rng.random() for _ in answer]))
    return rows


def plain_logps(model: Any, row: Encoded) -> Tensor:
    """Log-probabilities of a row's predicted tokens by transformers' own forward, row alone."""
    ids_1_T = torch.tensor([row.input_ids], device=next(model.parameters()).device)
    logits_T_V = model(input_ids=ids_1_T, use_cache=False).logits[0]
    wide = torch.promote_types(logits_T_V.dtype, torch.float32)
    logps_T_V = logits_T_V.to(wide).log_softmax(-1)
    at = [t for t, weight in enumerate(row.loss_weights) if weight]
    return torch.stack([logps_T_V[t - 1, row.input_ids[t]] for t in at])


def plain_loss(model: Any, rows: Sequence[Encoded]) -> Tensor:
    """- sum of weight * log-probability over all rows, a row."""
    total = torch.zeros(())
    for row in rows:
        logps = plain_logps(model, row)
        weights = torch.tensor([w for w in row.loss_weights if w], device=logps.device)
        total = total.to(logps.device) - (weights * logps).sum()
    return total / len(rows)


def gradients(model: Any, loss: Callable[[], Tensor]) -> tuple[float, Gradients]:
    """The loss and all gradients by name; the model's gradients are cleared."""
    model.zero_grad(set_to_none=True)
    value = loss()
    torch.autograd.backward(value)
    found = {name: parameter.grad.detach().clone() for name, parameter in model.named_parameters()
             if parameter.grad is not None}  # fmt: skip
    model.zero_grad(set_to_none=True)
    return float(value.detach()), found


def worst(found: Gradients, wanted: Gradients) -> float:
    """Largest relative difference of a gradient, by its norm; the same names are required."""
    assert found.keys() == wanted.keys()
    assert all(bool(gradient.norm() > 0) for gradient in wanted.values())
    return max(float((found[name] - wanted[name]).norm() / wanted[name].norm())
               for name in wanted)  # fmt: skip
