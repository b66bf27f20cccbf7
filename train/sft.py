"""The step `train.sft`: supervised fine-tuning of a guard in one arm."""

import json
import math
import shutil
import time
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from whyguard.core.artefact import Artefact
from whyguard.core.errors import DataError, fail
from whyguard.core.hashing import rows_sha256
from whyguard.core.optional import require
from whyguard.core.refs import ModelRef
from whyguard.core.schemas import Example, TrainLog
from whyguard.core.steps import (
    Inputs,
    Published,
    Room,
    Runtime,
    Step,
    StepConfig,
    StepResult,
    Workspace,
)
from whyguard.core.tables import drop, drops_frame, frame
from whyguard.core.values import Arm, Label, Split
from whyguard.generation.grammar import holds_tag
from whyguard.generation.guard.prompts import DEFAULT_TEMPLATE, PromptTemplate, prompt_template
from whyguard.generation.guard.scoring import encode_prompt
from whyguard.generation.models import (
    Loaded,
    Located,
    Precision,
    load_located,
    locate_model,
    trimmed_model,
)
from whyguard.train.folder import (
    GuardFacts,
    groups_sha256,
    label_strings,
    write_groups,
    write_guard,
)
from whyguard.train.segments import (
    ARM_COLUMN,
    Encoded,
    arm_segments,
    corpus_texts,
    encode_row,
    missing_column,
)

MODEL_FOLDER = "model"


class LoraSettings(BaseModel):
    """Low-rank adapters on all linear layers, merged into the weights after training."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    r: int = Field(default=16, ge=1)
    alpha: int = Field(default=32, ge=1)
    dropout: float = Field(default=0.0, ge=0.0, lt=1.0)


class SftConfig(StepConfig):
    """One arm's training. Arms that are compared differ in `arm` and nothing else."""

    model: ModelRef
    arm: Arm
    languages: tuple[str, ...] = Field(min_length=1)
    epochs: int = Field(default=2, ge=1)
    learning_rate: float = Field(default=1e-3, gt=0)
    batch_size: int = Field(default=4, ge=1)
    accumulation: int = Field(default=1, ge=1)
    """Batches an optimiser step."""
    warmup: float = Field(default=0.05, ge=0, lt=1)
    """Share of the steps over which the learning rate rises."""
    seed: int = 0
    lora: LoraSettings | None = LoraSettings()
    """None trains all weights."""
    precision: Precision = Precision.FP32
    """Arithmetic of training; weights are kept and saved in fp32."""
    max_length: int = Field(default=512, ge=16)
    """Tokens; a longer row is dropped, in every arm of `compare`."""
    trim_vocabulary: bool = True
    prompt: str = DEFAULT_TEMPLATE
    explanation_weight: float = Field(default=1.0, gt=0)
    compare: tuple[Arm, ...] = ()
    """Arms this one will be compared with: a row must be renderable in each of them."""
    missing: Literal["error", "drop"] = "error"
    """What to do with a harmful row that lacks an explanation an arm needs."""


class _Prepared(NamedTuple):
    """Training rows in table order, tokenized; and what was left out."""

    table: pl.DataFrame
    rows: list[Encoded]
    drops: list[dict[str, str]]


class Checkpoint(NamedTuple):
    """A checkpoint to go on from, and the tokens seen up to it."""

    folder: Path
    tokens: int


def training_order(rows: int, epochs: int, seed: int) -> list[int]:
    """Row numbers in the order they are seen: a permutation an epoch, of the seed alone."""
    rng = np.random.default_rng(seed)
    return [int(i) for _ in range(epochs) for i in rng.permutation(rows)]


def prepare_rows(examples: pl.DataFrame, config: SftConfig, tokenizer: Any) -> _Prepared:
    """Tokenize the training rows of `examples` in the config's arm.

    Raises:
        DataError: no row is left, or a row lacks an explanation and `missing` is `error`.
    """
    chosen = examples.filter(
        (pl.col("split") == Split.TRAIN.value) & pl.col("language").is_in(config.languages)
    )
    template = prompt_template(config.prompt)
    arms = (config.arm, *(arm for arm in config.compare if arm != config.arm))
    kept, rows, drops = [], [], []
    for number, row in enumerate(chosen.to_dicts()):
        reason = _unusable(row, arms, config, tokenizer, template)
        if reason is None:
            kept.append(number)
            rows.append(_encode(row, config.arm, config, tokenizer, template))
        else:
            drops.append(drop(row, row["example_id"], *reason))
    if not rows or len(set(chosen[kept]["label"])) < len(Label):
        fail(DataError, where="train.sft: input examples",
             expected=f"harmful and unharmful train rows in {', '.join(config.languages)}",
             found=f"{len(rows)} usable of {chosen.height} rows",
             do="check the languages and the split of the dataset")  # fmt: skip
    return _Prepared(chosen[kept], rows, drops)


def run_sft(inputs: Inputs, config: SftConfig, runtime: Runtime, room: Room) -> StepResult:
    """Train, merge, save to `files/model`; one row a logged optimiser step."""
    started = time.monotonic()
    torch = require("torch", "train")
    for module in ("trl", "peft", "datasets", "accelerate"):
        require(module, "train")
    if runtime.threads:
        torch.set_num_threads(runtime.threads)
    examples = inputs["examples"].rows
    base = locate_model(config.model, role="base", progress=room.progress)
    if config.trim_vocabulary:
        texts = corpus_texts(examples.to_dicts(), prompt_template(config.prompt))
        located = trimmed_model(base, texts, room.progress)
    else:
        located = base
    loaded = load_located(located, Precision.FP32, runtime.device)
    prepared = prepare_rows(examples, config, loaded.tokenizer)
    history = _train(loaded, prepared.rows, config, room)
    facts = _facts(base, prepared.table, config)
    write_groups(room.files / MODEL_FOLDER, prepared.table["group_id"])
    write_guard(room.files / MODEL_FOLDER, facts)
    log = frame(TrainLog, _log_rows(history))
    notes = {
        "rows": len(prepared.rows),
        "train_seconds": round(time.monotonic() - started, 1),
        "tokens": sum(len(row.input_ids) for row in prepared.rows) * config.epochs,
    }
    return StepResult(log, drops_frame(prepared.drops), models=(base.use,),
                      licences=(base.use.licence,), notes=notes)  # fmt: skip


def publish_model(artefact: Artefact, config: SftConfig,
                  workspace: Workspace) -> tuple[Published, ...]:  # fmt: skip
    """Say where the model lies."""
    note = f"{config.arm}, seed {config.seed}"
    return (Published("model", artefact.files / MODEL_FOLDER, note),)


def _unusable(row: Mapping[str, Any], arms: Sequence[Arm], config: SftConfig, tokenizer: Any,
              template: PromptTemplate) -> tuple[str, str] | None:  # fmt: skip
    for arm in arms:
        column = missing_column(arm, row)
        if column is not None and config.missing == "error":
            fail(DataError, where=f"train.sft: example {row['example_id']}",
                 expected=f"a text in '{ARM_COLUMN[arm]}' (arm {arm}) of each harmful row",
                 found="null", do="write the explanation, or set missing: drop (and the same "
                 "compare: in every arm, so that all see the same rows)")  # fmt: skip
        if column is not None:
            return "no_explanation", f"arm {arm} needs column {column}"
        source = ARM_COLUMN[arm]
        if source is not None and holds_tag(row[source] or ""):
            return "tag_in_explanation", "the explanation holds a tag of the grammar"
        length = len(_encode(row, arm, config, tokenizer, template).input_ids)
        if length > config.max_length:
            return "too_long", f"{length} tokens in arm {arm}, at most {config.max_length}"
    return None


def _encode(row: Mapping[str, Any], arm: Arm, config: SftConfig, tokenizer: Any,
            template: PromptTemplate) -> Encoded:  # fmt: skip
    prompt = encode_prompt(tokenizer, template, row["text"])
    return encode_row(tokenizer, prompt, arm_segments(arm, row, config.explanation_weight))


def _train(loaded: Loaded, rows: list[Encoded], config: SftConfig,
           room: Room) -> list[dict[str, Any]]:  # fmt: skip
    from transformers import set_seed

    from whyguard.train.trainer import Settings, make_trainer

    set_seed(config.seed)
    ordered = [rows[i] for i in training_order(len(rows), config.epochs, config.seed)]
    a_step = config.batch_size * config.accumulation
    steps = math.ceil(len(ordered) / a_step)
    settings = Settings(
        learning_rate=config.learning_rate, batch_size=config.batch_size,
        accumulation=config.accumulation, warmup=config.warmup,
        bf16=config.precision is Precision.BF16, seed=config.seed,
        use_cpu=loaded.device == "cpu", save_steps=max(1, math.ceil(len(rows) / a_step)),
    )  # fmt: skip
    checkpoints = room.scratch / "checkpoints"
    lora = config.lora
    adapter = (
        {"r": lora.r, "lora_alpha": lora.alpha, "lora_dropout": lora.dropout} if lora else None
    )
    with room.progress.task(f"training {config.arm}", steps) as task, warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # between trl's and transformers' names
        trainer = make_trainer(loaded.model, loaded.tokenizer, ordered, settings, checkpoints,
                               adapter, task)  # fmt: skip
        last = whole_checkpoint(checkpoints)
        if last is not None:
            trainer.resume_tokens(last.tokens)
        trainer.train(resume_from_checkpoint=str(last.folder) if last else None)
    _save(trainer.model, loaded, room.files / MODEL_FOLDER)
    shutil.rmtree(checkpoints, ignore_errors=True)
    history: list[dict[str, Any]] = trainer.state.log_history
    return history


def whole_checkpoint(folder: Path) -> Checkpoint | None:
    """The newest checkpoint that was written to its end; later ones are deleted."""
    found = sorted(folder.glob("checkpoint-*"), key=lambda p: -int(p.name.rpartition("-")[2]))
    for checkpoint in found:
        try:
            # transformers writes this file last
            state = json.loads((checkpoint / "trainer_state.json").read_text("utf-8"))
            tokens = [entry.get("num_tokens", 0) for entry in state["log_history"]]
            return Checkpoint(checkpoint, int(max(tokens, default=0)))
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            shutil.rmtree(checkpoint)
    return None


def _save(model: Any, loaded: Loaded, folder: Path) -> None:
    merged = model.merge_and_unload() if hasattr(model, "merge_and_unload") else model
    merged.config.use_cache = True
    merged.save_pretrained(folder)
    loaded.tokenizer.save_pretrained(folder)


def _facts(base: Located, table: pl.DataFrame, config: SftConfig) -> GuardFacts:
    shown = config.model_dump(mode="json", exclude={"model", "arm", "languages", "seed", "prompt"})
    return GuardFacts(
        base=base.use.reference, base_revision=base.use.revision, licence=base.use.licence,
        arm=config.arm.value, languages=config.languages, prompt_template=config.prompt,
        seed=config.seed, examples=table.height, examples_sha256=rows_sha256(table),
        groups_sha256=groups_sha256(table["group_id"]), labels=label_strings(), training=shown,
    )  # fmt: skip


def _log_rows(history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    # no seconds: they would make equal trainings hash apart
    return [
        {"step": entry["step"], "loss": entry["loss"], "learning_rate": entry["learning_rate"],
         "tokens": int(entry["num_tokens"])}
        for entry in history
        if "loss" in entry
    ]  # fmt: skip


SFT = Step(
    name="train.sft",
    version="2",
    summary="fine-tuning a guard",
    config=SftConfig,
    inputs={"examples": Example},
    output=TrainLog,
    run=run_sft,
    publish=publish_model,
)
