"""The stage `grpo`: reasoning that is rewarded. Imported only by code that trains.

See `grpo_trainer.py` for what differs from TRL and from the paper.
"""

import shutil
import time
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import polars as pl
from datasets import Dataset
from transformers import PrinterCallback, set_seed

from whyguard.core.errors import DataError, fail
from whyguard.core.tables import drop, drops_frame
from whyguard.core.values import NOT_WRITTEN, Label, Reasoning, Split
from whyguard.generation.guard.prompts import prompt_template
from whyguard.generation.models import Precision
from whyguard.train.folder import GuardFacts, StageFacts
from whyguard.train.rewards.config import REWARDS
from whyguard.train.rewards.score import Measures
from whyguard.train.sampling import THINK_OPEN, guard_prompt_ids
from whyguard.train.stages.arguments import Place, blaming_passed, process_state, uses_cpu
from whyguard.train.stages.engine import (
    Base,
    Rows,
    guard_facts,
    load_base,
    log_table,
    save_guard,
    told_languages,
)
from whyguard.train.stages.grpo_arguments import check_fields, grpo_arguments, shape_of
from whyguard.train.stages.grpo_config import GrpoStage
from whyguard.train.stages.grpo_dev import choose
from whyguard.train.stages.grpo_rewards import COMPLETIONS, LANGUAGE_REWARDS, Scorer, total_groups
from whyguard.train.stages.grpo_trainer import GuardGrpoTrainer, RewardBar, Rollout
from whyguard.train.stages.rows import told_drops
from whyguard.train.stages.run import CHECKPOINTS, Outcome, StageJob
from whyguard.train.stages.trainers import Subject, adapter, go_on, last_checkpoint
from whyguard.train.stages.watch import DEV_REWARD, dev_figures

_COLUMNS = ("example_id", "family_id", "group_id", "language", "label", "categories")


class Prompts(NamedTuple):
    """What is asked: rows with `prompt` (the text to judge), in table order."""

    rows: list[dict[str, Any]]
    longest: int
    """Tokens of the longest prompt."""
    drops: list[dict[str, str]]


class Asked(NamedTuple):
    """All prompts of a training."""

    train: Prompts
    dev: Prompts
    """What is evaluated; empty where nothing is."""


def run_grpo_stage(job: StageJob) -> Outcome:
    """Train on the prompts of the job's data."""
    started = time.monotonic()
    config = _config(job)
    use_cpu = uses_cpu(config)
    check_fields(config, use_cpu=use_cpu)
    base = load_base(job)
    asked = Asked(prompts_of(job.data.rows, config, base.loaded.tokenizer),
                  dev_prompts(job.data.rows, config, base.loaded.tokenizer))  # fmt: skip
    processes = process_state(config).num_processes
    shape = shape_of(config, len(asked.train.rows), asked.train.longest, processes)
    place = Place(job.out / CHECKPOINTS, use_cpu, shape.steps)
    scorer = make_scorer(config, base.loaded.tokenizer)
    args = grpo_arguments(config, place, shape, list(scorer.weights.values()))
    subject = Subject(base.loaded.model, base.loaded.tokenizer, config.lora)
    with blaming_passed(config) as made:
        trainer = made.trainer = make_trainer(subject, args, asked, scorer, rollout_of(config, job))
        history = train(trainer, job, shape.steps)
    rows = rows_of(asked, config)
    facts = stage_facts(job, rows.train, trainer.state, history)
    save_guard(trainer, job, base, _guard(job, base, rows, facts), rows.groups)
    tokens = int(max((entry.get("num_tokens", 0) for entry in history), default=0))
    return Outcome(log_table(history), drops_frame(rows.drops), facts, tokens,
                   time.monotonic() - started)  # fmt: skip


def rows_of(asked: Asked, config: GrpoStage) -> Rows:
    """What is trained on, for the guard's facts: groups are those of train rows alone."""
    groups = [row["group_id"] for row in asked.train.rows]
    return Rows(len(asked.train.rows), len(asked.dev.rows), (), groups,
                [*asked.train.drops, *asked.dev.drops],
                told_languages(config, (row["language"] for row in asked.train.rows)))  # fmt: skip


def prompts_of(examples: pl.DataFrame, config: GrpoStage, tokenizer: Any,
               split: Split = Split.TRAIN) -> Prompts:  # fmt: skip
    """The rows of a split in the config's languages (none named: all), as prompts.

    Raises:
        DataError: not both labels are left.
    """
    chosen = examples.filter(pl.col("split") == split.value)
    if config.languages:
        chosen = chosen.filter(pl.col("language").is_in(config.languages))
    rows: list[dict[str, Any]] = []
    drops: list[dict[str, str]] = []
    longest = 0
    for row in chosen.to_dicts():
        length = len(guard_prompt_ids(tokenizer, prompt_template(config.prompt), row["text"],
                                      prefill_of(config)))  # fmt: skip
        reason = _unusable(row, length, config)
        if reason is not None:
            drops.append(_drop(row, *reason))
        else:
            longest = max(longest, length)
            rows.append({name: row[name] for name in _COLUMNS} | {"prompt": row["text"]})
    if len({row["label"] for row in rows}) < len(Label):
        asked = ", ".join(config.languages) or "any language"
        fail(DataError, where="stage grpo: input examples",
             expected=f"harmful and unharmful {split.value} rows in {asked}",
             found=f"{len(rows)} usable of {chosen.height} rows{told_drops(drops)}",
             do="check the languages and the split of the dataset, and max_length")  # fmt: skip
    return Prompts(rows, longest, drops)


def dev_prompts(examples: pl.DataFrame, config: GrpoStage, tokenizer: Any) -> Prompts:
    """The dev rows to evaluate, at most `dev_limit`; none where `evaluate_every` is null.

    Raises:
        DataError: they are asked for, and there are none, or not of both labels.
    """
    if config.evaluate_every is None:
        return Prompts([], 0, [])
    if Split.DEV.value not in examples["split"]:
        fail(DataError, where="stage grpo: evaluate_every", expected="dev rows",
             found="none in the data", do="leave evaluate_every out, or give data with a dev "
             "split")  # fmt: skip
    found = prompts_of(examples, config, tokenizer, Split.DEV)
    return found._replace(rows=choose(found.rows, config.dev_limit))


def prefill_of(config: GrpoStage) -> str:
    """What the prompt ends with, behind its template."""
    return THINK_OPEN if config.prefill_think else ""


def make_scorer(config: GrpoStage, tokenizer: Any) -> Scorer:
    """The rewards of this config; language is told by the built-in classifier, where it counts.

    Raises:
        MissingExtraError: a reward of language has a weight and fastText is not installed.
    """
    rewards = config.reward_config
    weights = rewards.weights.model_dump()

    def count_tokens(text: str) -> int:
        return len(tokenizer(text, add_special_tokens=False).input_ids)

    measures = Measures(count_tokens)
    if any(weights[name] for name in LANGUAGE_REWARDS):
        from whyguard.curation.langid import right_language

        measures = Measures(count_tokens, right_language)
    return Scorer(rewards, measures, config.rewarded_arm)


def rollout_of(config: GrpoStage, job: StageJob) -> Rollout:
    """How completions are asked for."""
    return Rollout(
        template=prompt_template(config.prompt), prefill=prefill_of(config), stops=config.stops,
        rows=max(1, config.batch_tokens // config.max_length) * config.generations,
        completions=job.out / COMPLETIONS, key=job.key, knobs=knobs(config),
    )  # fmt: skip


def make_trainer(subject: Subject, args: Any, asked: Asked, scorer: Scorer,
                 rollout: Rollout) -> GuardGrpoTrainer:  # fmt: skip
    """A trainer over these prompts."""
    set_seed(args.seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # between trl's and transformers' names
        trainer = GuardGrpoTrainer(
            model=subject.model, reward_funcs=scorer.functions(), args=args,
            train_dataset=Dataset.from_list(asked.train.rows),
            eval_dataset=Dataset.from_list(asked.dev.rows) if asked.dev.rows else None,
            processing_class=subject.tokenizer, peft_config=adapter(subject.lora),
        )  # fmt: skip
    trainer.remove_callback(PrinterCallback)
    trainer.attach(rollout, scorer, asked.dev.rows)
    return trainer


def train(trainer: GuardGrpoTrainer, job: StageJob, steps: int) -> list[dict[str, Any]]:
    """Train from the newest whole checkpoint, or from the start, to the end; its log."""
    last = last_checkpoint(trainer, job.key)
    if last is None and trainer.is_world_process_zero():
        shutil.rmtree(trainer.rollout.completions, ignore_errors=True)
    trainer.accelerator.wait_for_everyone()
    with job.progress.task("grpo", steps) as task, warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # between trl's and transformers' names
        trainer.add_callback(RewardBar(task))
        go_on(trainer, last, job.config.patience, DEV_REWARD)
    # sorted, as a checkpoint's log is: a resumed training's table has the same columns
    history = [dict(sorted(entry.items())) for entry in trainer.state.log_history]
    groups = total_groups(history)
    job.progress.say(f"  {groups.groups:,} groups: in {groups.equal:,} all rewards are equal, "
                     f"{groups.unscored:,} have fewer than two rewards: {groups.idle_share:.0%} "
                     "taught nothing")  # fmt: skip
    return history


def stage_facts(job: StageJob, rows: int, state: Any,
                history: Sequence[Mapping[str, Any]]) -> StageFacts:  # fmt: skip
    """What the folder says: rewards of the first and last tenth, dev figures of the best step."""
    logged = [entry for entry in history if "reward" in entry]
    size = max(1, len(logged) // 10)
    groups = total_groups(history)
    metrics = {"reward_first": _mean(logged[:size], "reward"),
               "reward_last": _mean(logged[-size:], "reward"),
               "groups": float(groups.groups), "groups_equal": float(groups.equal),
               "groups_unscored": float(groups.unscored)}  # fmt: skip
    metrics |= {name: _mean(logged[-size:], f"raw/{name}") for name in REWARDS}
    metrics |= dev_figures(history, state.best_global_step)
    known = {name: round(value, 6) for name, value in metrics.items() if value is not None}
    return StageFacts(stage="grpo", data=job.data.name, data_sha256=job.data.sha256, rows=rows,
                      steps=state.global_step, best_step=state.best_global_step,
                      seed=job.config.seed, metrics=known, settings=job.config.keyed())  # fmt: skip


def knobs(config: GrpoStage) -> tuple[str, ...]:
    """What to change where memory runs out, the cheapest first."""
    less = max(1, config.batch_tokens // 2)
    found = [f"set batch_tokens: {less} (now {config.batch_tokens})",
             f"a smaller completion_length (now {config.completion_length})"]  # fmt: skip
    if not config.activation_checkpointing:
        found.insert(1, "activation_checkpointing: true (results stay)")
    if config.precision is Precision.FP32:
        found.append("precision: bf16")
    if config.lora is None:
        found.append("lora: {r: 16} instead of all weights")
    return tuple(found)


def _guard(job: StageJob, base: Base, rows: Rows, stage: StageFacts) -> GuardFacts:
    """Facts of the guard: a prefilled `<think>` teaches reasoning, else it is as it was before."""
    guard = guard_facts(job, base, rows, stage)
    if not _config(job).prefill_think:
        return guard
    return guard.model_copy(update={"reasoning": Reasoning.ENGLISH_COT.value})


def _config(job: StageJob) -> GrpoStage:
    assert isinstance(job.config, GrpoStage)  # noqa: S101 - the table of runners
    return job.config


def _unusable(row: Mapping[str, Any], length: int, config: GrpoStage) -> tuple[str, str] | None:
    never = set(row["categories"]).intersection(NOT_WRITTEN)
    if never:
        return "category_not_written", f"rows of {', '.join(sorted(never))} are never written"
    if length + config.completion_length > config.max_length:
        return "too_long", (f"{length} tokens and {config.completion_length} of a completion, at "
                            f"most {config.max_length}")  # fmt: skip
    return None


def _drop(row: Mapping[str, Any], rule: str, reason: str) -> dict[str, str]:
    facts = {name: row[name] for name in _COLUMNS}
    return drop(facts, row["example_id"], rule, reason)


def _mean(entries: Sequence[Mapping[str, Any]], name: str) -> float | None:
    values = [entry[name] for entry in entries if entry.get(name) is not None]
    return sum(values) / len(values) if values else None
