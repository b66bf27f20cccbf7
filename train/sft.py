"""The step `train.sft`: supervised fine-tuning of a guard in one arm."""

import math
import shutil
import time
from pathlib import Path
from typing import Any, Literal

import polars as pl
from pydantic import Field

from whyguard.core.artefact import Artefact
from whyguard.core.hashing import rows_sha256, sha256_json
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
from whyguard.core.tables import drops_frame, frame
from whyguard.core.values import Arm, Reasoning
from whyguard.generation.guard.prompts import DEFAULT_TEMPLATE, prompt_template
from whyguard.generation.models import (
    Loaded,
    Located,
    Precision,
    load_located,
    locate_model,
    trimmed_model,
)
from whyguard.train.config import LoraSettings, SftStage
from whyguard.train.folder import (
    GuardFacts,
    groups_sha256,
    label_strings,
    write_groups,
    write_guard,
)
from whyguard.train.segments import corpus_texts
from whyguard.train.stages.plan import Spread, plan_steps, training_order
from whyguard.train.stages.rows import Prepared, prepare_rows

MODEL_FOLDER = "model"
_KNOBS = ("set a smaller batch_size, and accumulation as many times larger (results stay)",
          "precision: bf16", "lora: {r: 16} instead of all weights")  # fmt: skip


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

    @property
    def reasoning(self) -> Reasoning:
        """The step's guards say the verdict at once; the stage `sft` teaches reasoning."""
        return Reasoning.NONE

    @property
    def reasoning_weight(self) -> float:
        """See `reasoning`."""
        return 1.0


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
    history = _train(loaded, prepared, config, room)
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


def _train(loaded: Loaded, prepared: Prepared, config: SftConfig,
           room: Room) -> list[dict[str, Any]]:  # fmt: skip
    """Train as a stage of the same settings; the model is saved to `files/model`."""
    from whyguard.train.stages.arguments import Place, trl_arguments
    from whyguard.train.stages.loop import Work
    from whyguard.train.stages.objective import SftObjective
    from whyguard.train.stages.trainers import Subject, make_trainer, train

    order = training_order(len(prepared.rows), config.epochs, config.seed)
    lengths = [len(row.input_ids) for row in prepared.rows]
    spread = Spread(config.batch_size * max(lengths), batch_rows=config.batch_size)
    steps = plan_steps(order, lengths, config.batch_size * config.accumulation, spread)
    stage = _stage(config, len(steps))
    objective = SftObjective(prepared.rows, prepared.table["example_id"].to_list())
    work = Work(objective, steps, sha256_json(config.model_dump(mode="json")), knobs=_KNOBS)
    place = Place(room.scratch / "checkpoints", loaded.device == "cpu", len(steps))
    subject = Subject(loaded.model, loaded.tokenizer, config.lora)
    trainer = make_trainer(subject, trl_arguments(stage, place), work)
    trained = train(trainer, f"training {config.arm}", None, room.progress)
    _save(trained.trainer.model, loaded, room.files / MODEL_FOLDER)
    shutil.rmtree(place.checkpoints, ignore_errors=True)
    return trained.history


def _stage(config: SftConfig, steps: int) -> SftStage:
    """The same training in the words of a stage; a checkpoint an epoch."""
    return SftStage(arm=config.arm, learning_rate=config.learning_rate, warmup=config.warmup,
                    seed=config.seed, lora=config.lora, precision=config.precision,
                    rows_a_step=config.batch_size * config.accumulation,
                    checkpoint_every=math.ceil(steps / config.epochs))  # fmt: skip


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
    version="5",
    summary="fine-tuning a guard",
    config=SftConfig,
    inputs={"examples": Example},
    output=TrainLog,
    run=run_sft,
    publish=publish_model,
)
