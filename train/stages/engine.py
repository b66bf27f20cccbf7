"""From tokenized rows to a guard's folder: what SFT, DPO and CAO share.

Imported only by code that trains: it needs torch, transformers, trl and peft.
"""

import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
from transformers import AutoModelForCausalLM

from whyguard.core.drafts import draft_folder, flush_to_disk
from whyguard.core.errors import DataError, fail
from whyguard.core.tables import drops_frame
from whyguard.core.values import Reasoning
from whyguard.generation.models import (
    MODEL_FACTS,
    Loaded,
    Located,
    ModelFacts,
    Precision,
    load_located,
    locate_model,
)
from whyguard.train.config import SftStage, StageConfig
from whyguard.train.folder import (
    GuardFacts,
    StageFacts,
    groups_sha256,
    label_strings,
    read_groups,
    write_groups,
    write_guard,
)
from whyguard.train.stages.arguments import (
    Place,
    blaming_passed,
    process_state,
    trl_arguments,
    uses_cpu,
)
from whyguard.train.stages.loop import Work
from whyguard.train.stages.objective import Objective
from whyguard.train.stages.plan import Spread, StepPlan, plan_step, plan_steps, training_order
from whyguard.train.stages.run import CHECKPOINTS, MODEL, Outcome, StageJob
from whyguard.train.stages.trainers import Subject, Trained, make_trainer, train
from whyguard.train.stages.watch import dev_figures

_NOT_LOGGED = ("step", "epoch", "num_tokens", "total_flos")
_FIRST = ("step", "loss", "learning_rate", "tokens", "seconds")


class Rows(NamedTuple):
    """What is trained on: train rows first, dev rows behind them."""

    train: int
    dev: int
    lengths: Sequence[int]
    """Tokens of each row, without what all share."""
    groups: Sequence[str]
    """Groups of the train rows."""
    drops: Sequence[dict[str, str]]
    languages: tuple[str, ...] = ()
    """Of the train rows."""


class Base(NamedTuple):
    """The model to start from."""

    located: Located
    loaded: Loaded


def told_languages(config: StageConfig, rows: Iterable[str]) -> tuple[str, ...]:
    """The languages of train rows, in the config's order where it names them."""
    there = set(rows)
    return tuple(code for code in config.languages or sorted(there) if code in there)


def load_base(job: StageJob) -> Base:
    """Load the model on the CPU in fp32; accelerate moves it."""
    located = locate_model(job.reference, role="base", progress=job.progress)
    return Base(located, load_located(located, Precision.FP32, "cpu"))


def plan_of(config: StageConfig, rows: Rows, processes: int) -> list[StepPlan]:
    """The optimiser steps of a stage."""
    order = training_order(rows.train, config.epochs, config.seed)
    spread = Spread(config.batch_tokens, processes)
    return plan_steps(order, rows.lengths, config.rows_a_step, spread, config.max_steps)


def dev_plan(config: StageConfig, rows: Rows, processes: int) -> StepPlan | None:
    """All dev rows as one step.

    Raises:
        DataError: they are asked for, and there are none.
    """
    if config.evaluate_every is None:
        return None
    if not rows.dev:
        fail(DataError, where=f"stage {config.stage}: evaluate_every", expected="dev rows",
             found="none in the data", do="leave evaluate_every out, or give data with a dev split "
             "(pairs: of more than one group)")  # fmt: skip
    numbers = range(rows.train, rows.train + rows.dev)
    return plan_step(list(numbers), rows.lengths, Spread(config.batch_tokens, processes))


def train_stage(job: StageJob, base: Base, rows: Rows, objective: Objective,
                measure: Callable[[Any], dict[str, float]] | None = None) -> Outcome:  # fmt: skip
    """Train, save the guard's folder, and say what was done.

    Args:
        job: what is to be done.
        base: the model to start from.
        rows: what is trained on.
        objective: the loss of these rows.
        measure: further figures of the trainer's finished model, for its card.
    """
    started = time.monotonic()
    config, use_cpu = job.config, uses_cpu(job.config)
    processes = process_state(config).num_processes
    steps = plan_of(config, rows, processes)
    work = Work(objective, steps, job.key, dev_plan(config, rows, processes),
                config.shared_preamble, knobs(config))  # fmt: skip
    place = Place(job.out / CHECKPOINTS, use_cpu, len(steps))
    args = trl_arguments(config, place)
    subject = Subject(base.loaded.model, base.loaded.tokenizer, config.lora)
    with blaming_passed(config) as made:
        made.trainer = make_trainer(subject, args, work)
        trained = train(made.trainer, config.stage, config.patience, job.progress)
    more = measure(trained.trainer) if measure is not None else {}
    facts = stage_facts(job, rows, trained, _last(trained, objective) | more)
    save_guard(trained.trainer, job, base, guard_facts(job, base, rows, facts), rows.groups)
    log = log_table(trained.history)
    tokens = int(log["tokens"].max() or 0) if log.height else 0  # type: ignore[arg-type]
    return Outcome(log, drops_frame(rows.drops), facts, tokens, time.monotonic() - started)


def knobs(config: StageConfig) -> tuple[str, ...]:
    """What to change where memory runs out, the cheapest first."""
    less = max(1, config.batch_tokens // 2)
    found = [f"set batch_tokens: {less} (now {config.batch_tokens}; results stay)"]
    if not config.activation_checkpointing:
        found.append("activation_checkpointing: true (results stay)")
    if config.precision is Precision.FP32:
        found.append("precision: bf16")
    if config.lora is None:
        found.append("lora: {r: 16} instead of all weights, or FSDP (recipes/accelerate)")
    return tuple(found)


def stage_facts(job: StageJob, rows: Rows, trained: Trained,
                metrics: dict[str, float]) -> StageFacts:  # fmt: skip
    """What the model's folder says of this stage."""
    return StageFacts(stage=job.config.stage, data=job.data.name, data_sha256=job.data.sha256,
                      rows=rows.train, steps=trained.trainer.state.global_step,
                      best_step=trained.best_step, seed=job.config.seed, metrics=metrics,
                      settings=job.config.keyed())  # fmt: skip


def _last(trained: Trained, objective: Objective) -> dict[str, float]:
    """Means over the last tenth of the steps, and the kept weights' dev figures."""
    logged = [entry for entry in trained.history if "loss" in entry]
    tail = logged[-max(1, len(logged) // 10) :]
    names = [name for name in ("loss", *objective.metrics) if tail and name in tail[-1]]
    found = {name: sum(entry[name] for entry in tail) / len(tail) for name in names}
    found |= dev_figures(trained.history, trained.best_step)
    return {name: round(float(value), 6) for name, value in found.items()}


def guard_facts(job: StageJob, base: Base, rows: Rows, stage: StageFacts) -> GuardFacts:
    """Facts of the guard: where it comes from, and every stage so far."""
    before, use, config = job.previous, base.located.use, job.config
    made = _prepared(base.located.folder)
    trimmed = {"trim_vocabulary": True} if made and made.trimmed_to else {}
    groups = frozenset(rows.groups) | _groups_before(job)
    return GuardFacts(
        base=before.base if before else made.reference if made else use.reference,
        base_revision=before.base_revision if before else use.revision,
        licence=before.licence if before else use.licence, arm=config.arm.value,
        reasoning=_reasoning(config, before),
        languages=tuple(dict.fromkeys((*(before.languages if before else ()), *rows.languages))),
        prompt_template=config.prompt, seed=config.seed,
        examples=before.examples if before and before.examples else rows.train,
        examples_sha256=before.examples_sha256 if before and before.examples_sha256
        else job.data.sha256, groups_sha256=groups_sha256(groups), labels=label_strings(),
        training=before.training if before else trimmed,
        stages=(*(before.stages if before else ()), stage),
    )  # fmt: skip


def _reasoning(config: StageConfig, before: GuardFacts | None) -> str:
    """What SFT teaches; other stages leave it as it was."""
    if isinstance(config, SftStage):
        return config.reasoning.value
    return before.reasoning if before else Reasoning.NONE.value


def _prepared(folder: Path) -> ModelFacts | None:
    """Where a converted or trimmed model came from."""
    path = folder / MODEL_FACTS
    return ModelFacts.model_validate_json(path.read_bytes()) if path.is_file() else None


def _groups_before(job: StageJob) -> frozenset[str]:
    before = job.previous
    if before is None:
        return frozenset()
    return read_groups(Path(job.reference.removeprefix("path:")), before)


def save_guard(trainer: Any, job: StageJob, base: Base, facts: GuardFacts,
               groups: Sequence[str]) -> None:  # fmt: skip
    """Write the model's folder whole: weights, tokenizer, facts, and our card last.

    All processes take part where weights are sharded; the first one writes.
    """
    raw = job.out / f".{MODEL}"
    if trainer.is_world_process_zero():
        shutil.rmtree(raw, ignore_errors=True)
    trainer.accelerator.wait_for_everyone()
    trainer.save_model(str(raw))
    trainer.accelerator.wait_for_everyone()
    if trainer.is_world_process_zero():
        draft = draft_folder(job.out)
        _write_weights(raw, draft, base, adapters=job.config.lora is not None)
        base.loaded.tokenizer.save_pretrained(draft)
        write_groups(draft, frozenset(groups) | _groups_before(job))
        write_guard(draft, facts)
        place(draft, job.out / MODEL)
        shutil.rmtree(raw)
    trainer.accelerator.wait_for_everyone()


def _write_weights(raw: Path, folder: Path, base: Base, *, adapters: bool) -> None:
    """Full weights in fp32 as safetensors; adapters are merged into the base's."""
    if adapters:
        from peft import PeftModel

        plain = load_located(base.located, Precision.FP32, "cpu").model
        model = PeftModel.from_pretrained(plain, raw).merge_and_unload()
    else:
        model = AutoModelForCausalLM.from_pretrained(raw, use_safetensors=True)
    broken = [name for name, value in model.named_parameters() if not bool(value.isfinite().all())]
    if broken:
        fail(DataError, where="trained weights", expected="finite numbers",
             found=f"NaN or infinity in {', '.join(broken[:3])}",
             do="training diverged in its last step: lower learning_rate, or use fp32")  # fmt: skip
    model.config.use_cache = True
    model.save_pretrained(folder)


def place(draft: Path, target: Path) -> None:
    """Rename a finished folder into place; what half a run left there goes."""
    for path in (*draft.rglob("*"), draft):
        flush_to_disk(path)
    if target.exists():
        shutil.rmtree(target)
    draft.rename(target)
    flush_to_disk(target.parent)


def log_table(history: Sequence[dict[str, Any]]) -> pl.DataFrame:
    """One row an optimiser step: TrainLog's columns, then metrics and dev figures by name."""
    rows: dict[int, dict[str, Any]] = {}
    for entry in history:
        row = rows.setdefault(int(entry["step"]), {"step": int(entry["step"])})
        row |= {name: float(value) for name, value in entry.items()
                if name not in _NOT_LOGGED and not name.startswith("train_")
                and isinstance(value, int | float)}  # fmt: skip
        if "num_tokens" in entry:
            row["tokens"] = int(entry["num_tokens"])
    kept = [rows[step] for step in sorted(rows) if "loss" in rows[step]]
    names = {name: None for row in kept for name in row}
    table = pl.DataFrame([{name: row.get(name) for name in names} for row in kept],
                         infer_schema_length=None)  # fmt: skip
    first = [name for name in _FIRST if name in table.columns]
    return table.select(*first, *sorted(set(table.columns) - set(first)))
