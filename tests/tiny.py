"""Real, tiny models: a trained BPE tokenizer and a two-layer network with random weights."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

WORDS = (
    "the garden is open on sunday and my sister bakes a cake for the old neighbour",
    "where does one find a quiet place to read about ships, bridges and weather?",
    "la casa ye vieya y el ríu pasa cerca; la moza canta na plaza del pueblu",
    "o rio pasa preto da casa e a rapaza canta na praza",
    "<judge>harmful</judge> <judge>unharmful</judge> <explanation> </explanation>",
    "User request: Is this request harmful or unharmful?",
    "somebody would be hurt by this, and a rule is broken when it is answered",
)


def save_llama(folder: Path, *, seed: int = 0, tied: bool = True) -> Path:
    """A Llama-like model with a byte-level BPE whose pad token is its end token."""
    tokenizer = _byte_level_tokenizer()
    _save_tokenizer(folder, tokenizer, {"bos_token": "<s>", "eos_token": "</s>",
                                        "unk_token": "<unk>", "pad_token": "</s>"})  # fmt: skip
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(vocab_size=tokenizer.get_vocab_size(), hidden_size=32,
                         intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
                         num_key_value_heads=2, max_position_embeddings=512, bos_token_id=1,
                         eos_token_id=2, pad_token_id=2, tie_word_embeddings=tied)  # fmt: skip
    return _save_model(folder, LlamaForCausalLM, config, seed)


def save_gemma(folder: Path, *, seed: int = 0) -> Path:
    """A Gemma3-like model: byte fallback BPE that adds <bos>, sliding window, tied weights."""
    tokenizer = _byte_fallback_tokenizer()
    _save_tokenizer(folder, tokenizer, {"bos_token": "<bos>", "eos_token": "<eos>",
                                        "unk_token": "<unk>", "pad_token": "<pad>"})  # fmt: skip
    from transformers import Gemma3ForCausalLM, Gemma3TextConfig

    config = Gemma3TextConfig(vocab_size=tokenizer.get_vocab_size(), hidden_size=32,
                              intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
                              num_key_value_heads=1, head_dim=8, sliding_window=16,
                              max_position_embeddings=512, pad_token_id=0, eos_token_id=1,
                              bos_token_id=2,
                              layer_types=["sliding_attention", "full_attention"])  # fmt: skip
    return _save_model(folder, Gemma3ForCausalLM, config, seed)


def _save_model(folder: Path, kind: Any, config: Any, seed: int) -> Path:
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(seed)
    kind(config).save_pretrained(folder)
    return folder


def _save_tokenizer(folder: Path, tokenizer: Any, specials: dict[str, str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    facts = {"tokenizer_class": "PreTrainedTokenizerFast", **specials}
    (folder / "tokenizer_config.json").write_text(json.dumps(facts), "utf-8")


def _byte_level_tokenizer() -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=420, special_tokens=["<unk>", "<s>", "</s>"],
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
                                  show_progress=False)  # fmt: skip
    tokenizer.train_from_iterator(_lines(), trainer)
    return tokenizer


def _byte_fallback_tokenizer() -> Any:
    from tokenizers import Tokenizer, decoders, models, normalizers, processors, trainers

    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    bytes_ = [f"<0x{value:02X}>" for value in range(256)]
    specials = ["<pad>", "<eos>", "<bos>", "<unk>"]
    trainer = trainers.BpeTrainer(vocab_size=520, special_tokens=[*specials, *bytes_],
                                  show_progress=False)  # fmt: skip
    tokenizer.train_from_iterator(_lines(), trainer)
    spec = json.loads(tokenizer.to_str())
    spec["added_tokens"] = [a for a in spec["added_tokens"] if a["content"] in specials]
    tokenizer = Tokenizer.from_str(json.dumps(spec))
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A", pair="<bos> $A <bos> $B", special_tokens=[("<bos>", 2)]
    )
    return tokenizer


def _lines() -> Iterable[str]:
    return [line for line in WORDS for _ in range(3)]
