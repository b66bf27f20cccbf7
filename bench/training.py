"""One SFT step of ours against stock TRL, on a Gemma-shaped toy with a 32k vocabulary."""

import os
import tempfile
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

from bench.harness import Figure, compare

_VOCABULARY = 32_000
_ROWS, _PROMPT, _COMPLETION, _STEPS = 8, 60, 40, 3


def _model() -> Any:
    import torch
    from transformers import Gemma3ForCausalLM, Gemma3TextConfig

    torch.manual_seed(0)
    config = Gemma3TextConfig(
        vocab_size=_VOCABULARY, hidden_size=256, intermediate_size=768, num_hidden_layers=4,
        num_attention_heads=4, num_key_value_heads=1, head_dim=64, sliding_window=64,
        layer_types=["sliding_attention", "full_attention"] * 2,
    )  # fmt: skip
    return Gemma3ForCausalLM(config)


def _rows() -> list[dict[str, list[int]]]:
    import torch

    generator = torch.Generator().manual_seed(0)
    length = _PROMPT + _COMPLETION
    ids = torch.randint(4, _VOCABULARY, (_ROWS * _STEPS, length), generator=generator).tolist()
    return [{"input_ids": row, "completion_mask": [0] * _PROMPT + [1] * _COMPLETION}
            for row in ids]  # fmt: skip


def _stock(folder: Path) -> None:
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    args = SFTConfig(
        output_dir=str(folder), per_device_train_batch_size=_ROWS, num_train_epochs=1,
        use_cpu=True, bf16=False, gradient_checkpointing=False, report_to=[], disable_tqdm=True,
        save_strategy="no", max_length=None, completion_only_loss=True, logging_steps=10_000,
    )  # fmt: skip
    SFTTrainer(_model(), args=args, train_dataset=Dataset.from_list(_rows()),
               processing_class=_tokenizer()).train()  # fmt: skip


def _ours(folder: Path) -> None:
    from whyguard.core.progress import Progress
    from whyguard.train.segments import Encoded
    from whyguard.train.trainer import Settings, make_trainer

    weight = 1 / _COMPLETION
    rows = [
        Encoded(row["input_ids"], row["input_ids"],
                [0.0] * _PROMPT + [weight] * _COMPLETION)
        for row in _rows()
    ]  # fmt: skip
    settings = Settings(5e-5, _ROWS, 1, 0.0, False, 0, True, 10_000)
    with Progress.silent().task("bench", _STEPS) as task:
        make_trainer(_model(), _tokenizer(), rows, settings, folder, None, task).train()


def _tokenizer() -> Any:
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from transformers import PreTrainedTokenizerFast

    words = {f"w{i}": i for i in range(_VOCABULARY)}
    backend = Tokenizer(WordLevel(words, unk_token="w3"))
    return PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="w0", eos_token="w1",
                                   unk_token="w3")  # fmt: skip


def run() -> list[Figure]:
    """One figure: a short full fine-tune, trainers' start-up included in both."""
    with tempfile.TemporaryDirectory() as folder:
        return [
            compare(
                f"SFT, {_STEPS} steps of {_ROWS} rows, vocabulary {_VOCABULARY}",
                "stock TRL SFTTrainer", lambda: _stock(Path(folder) / "stock"),
                lambda: _ours(Path(folder) / "ours"), rounds=2,
                note=f"{_PROMPT} prompt and {_COMPLETION} completion tokens a row",
            )
        ]  # fmt: skip
