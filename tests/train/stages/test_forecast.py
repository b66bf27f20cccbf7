"""train/stages/forecast.py: memory against real runs in processes of their own, and what it is of.

`python -m tests.train.stages.test_forecast CASE.json` is one such run; it prints bytes.
"""

import gc
import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from tests.tiny import save_llama
from tests.train.conftest import example_rows
from tests.train.stages.making import pair_rows, stored

from whyguard.core.progress import Progress
from whyguard.core.registry import load_object
from whyguard.core.schemas import Example
from whyguard.core.tables import SchemaType, frame
from whyguard.generation.models import load_model, locate_model
from whyguard.train.config import LEARNS_FROM_PAIRS, STAGES, StageConfig
from whyguard.train.fast.batch import make_batch
from whyguard.train.fast.floor import PassTokens, Trained, kept_bytes, pass_tokens
from whyguard.train.fast.install import install
from whyguard.train.fast.losses import hidden_states
from whyguard.train.pairs import PreferencePair
from whyguard.train.segments import IGNORED, Encoded
from whyguard.train.stages.data import find_data, read_examples, read_pairs
from whyguard.train.stages.forecast import (
    Forecast,
    Memory,
    Passes,
    forecast,
    memory_of,
    read_model,
)
from whyguard.train.stages.run import StageJob, run_stage

torch.set_num_threads(1)
ROOT = Path(__file__).resolve().parents[3]
WORDS = ("casa", "vieya", "ríu", "cerca", "moza", "canta", "plaza", "pueblu", "the", "house")
LEAST, MOST = 0.85, 1.3
"""Forecast by peak."""
CASES: dict[str, dict[str, Any]] = {
    "sft": {"max_steps": 8, "batch_tokens": 600},
    "sft-lora": {"lora": {"r": 8}, "precision": "bf16", "rows_a_step": 8, "max_steps": 4},
    "cao-bf16": {"precision": "bf16"},
    "cao": {"batch_tokens": 4000},
    "grpo-lora": {"lora": {"r": 8}, "generations": 2, "completion_length": 48},
}


class Made(NamedTuple):
    """A model that is big enough to matter, a tiny one, and data with long texts."""

    model: Path
    tiny: Path
    examples: Path
    pairs: Path

    def config(self, stage: str, **changes: Any) -> StageConfig:
        data = self.pairs if stage in LEARNS_FROM_PAIRS else self.examples
        values = {"model": f"path:{self.model}", "data": str(data), "max_length": 512,
                  "checkpoint_every": None, "rows_a_step": 4, "max_steps": 2,
                  **changes}  # fmt: skip
        config: StageConfig = load_object(STAGES[stage]).model_validate(values)
        return config


def _text(rng: random.Random, least: int, most: int) -> str:
    return " ".join(rng.choice(WORDS) for _ in range(rng.randint(least, most)))


def _stored(folder: Path, schema: SchemaType, rows: list[dict[str, Any]], *names: str) -> Path:
    rng = random.Random(0)
    long = [row | {name: _text(rng, 30, 80) for name in names} for row in rows]
    return stored(folder, schema, frame(schema, long))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """17 million random weights behind a real tokenizer, and a warm-up's model of 20 thousand."""
    from transformers import LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("forecast")
    tiny, model = save_llama(folder / "tiny"), save_llama(folder / "model")
    sizes = LlamaConfig.from_pretrained(tiny).to_dict() | {
        "vocab_size": 8000, "hidden_size": 384, "intermediate_size": 1024, "num_hidden_layers": 8,
        "num_attention_heads": 6, "num_key_value_heads": 2, "head_dim": 64}  # fmt: skip
    LlamaForCausalLM(LlamaConfig.from_dict(sizes)).save_pretrained(model)
    return Made(model, tiny, _stored(folder / "examples", Example, example_rows(16), "text"),
                _stored(folder / "pairs", PreferencePair, pair_rows(12), "prompt_e", "prompt_t")
                )  # fmt: skip


def _forecast(config: StageConfig) -> Forecast:
    read = read_pairs if config.stage in LEARNS_FROM_PAIRS else read_examples
    return forecast(StageJob(config, read(find_data(config)), Path(), "", Progress.silent()))


def _measured(made: Made, config: StageConfig, out: Path) -> int:
    """Bytes at the peak of a run, beyond what a process has that trained a tiny model before."""
    tiny = config.model_copy(update={"model": f"path:{made.tiny}", "max_steps": 1,
                                     "rows_a_step": 2})  # fmt: skip
    case = out / "case.json"
    case.write_text(json.dumps([json.loads(each.model_dump_json()) for each in (tiny, config)]))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1",
                   "OMP_NUM_THREADS": "1"}  # fmt: skip
    done = subprocess.run([sys.executable, "-m", "tests.train.stages.test_forecast", str(case)],
                          env=environment, cwd=ROOT, capture_output=True, text=True,
                          check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return int(done.stdout.split()[-1])


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
@pytest.mark.parametrize("name", CASES)
def test_memory_is_0_85_to_1_3_of_a_real_runs_peak(name: str, made: Made, tmp_path: Path) -> None:
    config = made.config(name.partition("-")[0], **CASES[name])
    peak = _measured(made, config, tmp_path)
    found = _forecast(config).memory
    print(f"{name}: {found.total / 1e6:.0f} MB forecast, {peak / 1e6:.0f} MB measured; {found}")
    assert LEAST * peak <= found.total <= MOST * peak


def _memory(made: Made, stage: str, **changes: Any) -> Memory:
    return _forecast(made.config(stage, **changes)).memory


def test_each_setting_moves_the_terms_it_should(made: Made) -> None:
    full, lora = _memory(made, "sft"), _memory(made, "sft", lora={"r": 8})
    assert (full.gradients, full.optimiser) == (full.weights, 2 * full.weights)
    assert lora.gradients * 10 < full.gradients
    assert lora.heap > full.heap > full.casts == full.reference == 0
    short = _memory(made, "sft", activation_checkpointing=True)
    assert short.activations * 3 < full.activations
    low = _memory(made, "sft", precision="bf16")
    assert (low.weights, low.activations < full.activations) == (full.weights, True)
    assert low.casts == 2 * 8 * (2 * 384 * (384 + 128) + 3 * 384 * 1024)
    plain = _memory(made, "sft", lora={"r": 8}, shared_preamble=False)
    assert plain.logits > 3 * lora.logits


def test_a_preference_keeps_the_output_layer(made: Made) -> None:
    fast = _memory(made, "dpo")
    assert fast.reference == 8000 * 384 * 4
    assert _memory(made, "cao").activations > fast.activations


def test_without_the_fast_path_a_reference_of_many_pairs_is_held_as_logits(made: Made) -> None:
    model = read_model(locate_model(f"path:{made.model}"), None)
    step, run = PassTokens(100, 100, 100, 0, 20), PassTokens(2000, 2000, 2000, 0, 800)

    def reference(parts: int, share: bool) -> int:
        config = made.config("dpo", shared_preamble=share)
        return memory_of(model, config, Passes(step, 2, 2, run, parts)).reference

    assert reference(32, False) - reference(16, False) == 16 * 800 * 8000 * 4
    assert reference(32, True) * 2 < reference(32, False)


def test_the_reference_is_computed_of_as_many_pairs_as_tokens_allow(made: Made) -> None:
    asked = {"lora": {"r": 8}, "rows_a_step": 1, "shared_preamble": False}
    few, many = (_memory(made, "dpo", batch_tokens=tokens, **asked).reference
                 for tokens in (600, 6000))  # fmt: skip
    assert many > 2 * few


def test_grpo_keeps_a_reference_where_beta_asks_for_it(made: Made) -> None:
    asked = {"generations": 2, "completion_length": 48}
    plain, with_beta = _memory(made, "grpo", **asked), _memory(made, "grpo", **asked, beta=0.1)
    assert (plain.reference, with_beta.reference) == (0, with_beta.weights)
    assert _memory(made, "grpo", **asked, beta=0.1, lora={"r": 8}).reference == 0


def test_a_smaller_pass_takes_less(made: Made) -> None:
    sizes = [_memory(made, "sft", batch_tokens=tokens).activations for tokens in (200, 400, 4096)]
    assert sizes == sorted(set(sizes))


def _rows() -> list[Encoded]:
    """Rows with a common beginning, completions of unlike length."""
    start = list(range(10, 40))
    tails = ([50 + n] * (8 + 5 * n) for n in range(4))
    return [Encoded([*start, *tail], [IGNORED] * 34 + tail[4:], [0.0] * 34 + [1.0] * len(tail[4:]))
            for tail in tails]  # fmt: skip


def _kept(model: Any, low: bool) -> int:
    """Bytes that autograd keeps of a forward pass, weights and their copies left out."""
    weights = {each.untyped_storage().data_ptr() for each in model.parameters()}
    sizes = {each.shape for each in model.parameters()}
    kept: dict[int, int] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        place = tensor.untyped_storage().data_ptr()
        copied = tensor.shape in sizes or tensor.t().shape in sizes if tensor.ndim == 2 else False
        if place not in weights and not copied:
            kept[place] = tensor.untyped_storage().nbytes()
        return tensor

    batch = make_batch(_rows())
    with (torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor),
          torch.autocast("cpu", torch.bfloat16, enabled=low)):  # fmt: skip
        hidden = hidden_states(model, batch)
        total = sum(kept.values())
    del hidden
    return total


@pytest.mark.parametrize("low", [False, True], ids=["fp32", "bf16"])
@pytest.mark.parametrize("kind", ["llama", "gemma"])
def test_kept_bytes_are_autograds_within_15_percent(kind: str, low: bool,
                                                    request: pytest.FixtureRequest
                                                    ) -> None:  # fmt: skip
    reference = f"path:{request.getfixturevalue(kind)}"
    model = load_model(reference, device="cpu").model.train()
    install(model)
    widths = read_model(locate_model(reference), None).widths
    tokens = pass_tokens([[row] for row in _rows()], share=True)
    said = kept_bytes(widths, tokens, Trained.FULL, low=low, checkpointing=False)
    found = _kept(model, low)
    assert abs(said - found) <= 0.15 * found, (said, found)


def test_tokens_of_a_pass_are_those_of_its_batch() -> None:
    rows, batch = _rows(), make_batch(_rows())
    shared = pass_tokens([[row] for row in rows], share=True)
    assert (shared.run, shared.predicted) == (len(batch.ids_S), len(batch.targets_N))
    plain = pass_tokens([[row] for row in rows], share=False)
    assert plain.run == len(rows) * (max(len(row.input_ids) for row in rows) - 1)
    pair = pass_tokens([rows[:3], rows[1:]], share=True)
    assert pair.anchored == sum(sum(weight > 0 for weight in row.loss_weights)
                                for row in (rows[2], rows[3]))  # fmt: skip


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text("ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


def main(case: str) -> None:
    """Train a tiny model, so that what is imported late is there; then measure the real run."""
    tiny, config = (load_object(STAGES[values["stage"]]).model_validate(values)
                    for values in json.loads(Path(case).read_text("utf-8")))  # fmt: skip
    out = Path(case).parent
    run_stage(tiny, out / "tiny")
    gc.collect()
    before = _status("VmRSS")
    run_stage(config, out / "real")
    print(_status("VmHWM") - before)


if __name__ == "__main__":
    main(*sys.argv[1:])
