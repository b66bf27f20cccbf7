"""TRL's config of the GRPO stage: the stage's own keys, and what is passed through under `trl`.

Imported only by code that trains: it needs trl.
"""

import os

os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

from trl import GRPOConfig

from whyguard.core.errors import ConfigError, DataError, fail
from whyguard.generation.models import Precision
from whyguard.train.config import HUB, LOGGED, OWNED, Report, Schedule
from whyguard.train.stages.arguments import (
    Place,
    check_names,
    check_optimiser,
    check_report,
    cut_at,
    passed,
    precision_of,
    uses_cpu,
    warmup_steps,
)
from whyguard.train.stages.grpo_config import GrpoStage
from whyguard.train.stages.watch import DEV_REWARD

_SCHEDULES = {Schedule.LINEAR: "linear", Schedule.COSINE: "cosine",
              Schedule.CONSTANT: "constant_with_warmup"}  # fmt: skip
_OWN = {
    "num_generations": "generations", "generation_batch_size": "rows_a_step",
    "steps_per_generation": "rows_a_step", "num_iterations": "iterations",
    "temperature": "temperature", "top_p": "top_p", "max_completion_length": "completion_length",
    "reward_weights": "weights", "multi_objective_aggregation": "aggregation",
    "vllm_server_base_url": "vllm_server",
}  # fmt: skip
"""Fields that the stage sets from a key of its own, beside `config.OWNED`."""
_GENERATION = {"max_new_tokens": "completion_length", "max_length": "completion_length",
               "temperature": "temperature", "top_p": "top_p", "do_sample": "temperature",
               "num_return_sequences": "generations"}  # fmt: skip
"""The same of what `generation_kwargs` holds."""
_NO_EFFECT = {
    **HUB, **LOGGED,
    "log_completions": "completions are always logged, as parquet and without printing prompts",
    "log_completions_hub_repo": "completions stay on this machine",
    "log_multimodal": "guards read text", "log_unique_prompts": "take it out",
    "num_completions_to_print": "read completions/*.parquet", "eval_on_start": "take it out",
    "num_generations_eval": "take it out", "chat_template_kwargs": "set prompt",
    "max_tool_calling_iterations": "guards call no tools", "remove_unused_columns": "take it out",
    "logging_nan_inf_filter": "a loss that is not finite stops the training",
    "use_transformers_paged": "set use_transformers_continuous_batching",
    "label_smoothing_factor": "take it out", "label_names": "take it out",
    "dataloader_drop_last": "groups are whole anyway", "prediction_loss_only": "take it out",
}  # fmt: skip
"""Fields that would have no effect here, and what to do instead."""


class Shape(NamedTuple):
    """How the completions of an optimiser step are spread."""

    forward_rows: int
    """Completions a forward pass and process."""
    accumulation: int
    steps: int
    """Optimiser steps of the training."""


def shape_of(config: GrpoStage, prompts: int, longest: int, processes: int) -> Shape:
    """Whole groups in each optimiser step, in forward passes of at most `batch_tokens` tokens.

    Args:
        config: of the stage.
        prompts: rows to train on; those that do not fill a last step of an epoch are left out.
        longest: tokens of the longest prompt.
        processes: that train side by side.

    Raises:
        DataError: there are fewer prompts than a step takes.
        ConfigError: the completions of a step cannot be dealt out to the processes.
    """
    if prompts < config.rows_a_step:
        fail(DataError, where="stage grpo: rows", expected=f"{config.rows_a_step} prompts or more, "
             "which one optimiser step takes", found=str(prompts),
             do="lower rows_a_step, or train on more rows")  # fmt: skip
    completions = config.rows_a_step * config.generations
    if completions % processes:
        fail(ConfigError, where="stage grpo: rows_a_step", expected="rows_a_step * generations "
             f"that {processes} processes can share evenly", found=str(completions),
             do=f"set rows_a_step to a multiple of {processes}")  # fmt: skip
    share = completions // processes
    most = max(1, config.batch_tokens // (longest + config.completion_length))
    forward = max(size for size in range(1, share + 1) if share % size == 0 and size <= most)
    steps = prompts // config.rows_a_step * config.iterations * config.epochs
    return Shape(forward, share // forward, config.max_steps or steps)


def check_fields(config: GrpoStage, *, use_cpu: bool) -> None:
    """Check what stands under `trl`, where vLLM is asked for, and where curves are sent.

    Raises:
        ConfigError: a name cannot stand there (see `check_names`); vLLM is asked for where it
            cannot run; or completions that are cut behind their verdict would be masked as
            truncated.
        MissingExtraError: see `check_report`.
    """
    check_names(config, GRPOConfig, dict(OWNED) | _OWN, _NO_EFFECT)
    check_optimiser(config)
    check_report(config)
    for name in config.trl.get("generation_kwargs") or {}:
        if name in _GENERATION:
            fail(ConfigError, where=f"stage grpo: trl.generation_kwargs.{name}", expected="what "
                 "the stage does not set itself", found=f"'{name}'",
                 do=f"set the stage's own key: {_GENERATION[name]}")  # fmt: skip
    if config.stops and config.trl.get("mask_truncated_completions"):
        fail(ConfigError, where="stage grpo: trl.mask_truncated_completions", expected="false "
             "where completions end behind </judge>: TRL would mask all of them", found="true",
             do="set stop_at_judge: false, or take it out")  # fmt: skip
    _check_vllm(config, use_cpu=use_cpu)


def _check_vllm(config: GrpoStage, *, use_cpu: bool) -> None:
    asked = config.vllm_server is not None or bool(config.trl.get("use_vllm"))
    if asked and use_cpu:
        mode = (
            "vllm_server"
            if config.vllm_server
            else f"vllm_mode {config.trl.get('vllm_mode', 'colocate')}"
        )
        fail(ConfigError, where="stage grpo: vLLM", expected="a GPU: weights go to vLLM over it "
             "after each step (colocate fails on a CPU, server needs NCCL)",
             found=f"{mode} on the CPU", do="take it out: completions are then written in this "
             "process")  # fmt: skip
    if config.vllm_server and config.trl.get("vllm_mode", "server") != "server":
        fail(ConfigError, where="stage grpo: trl.vllm_mode", expected="server, with vllm_server",
             found=str(config.trl["vllm_mode"]), do="take one of the two out")  # fmt: skip


def check_passed(config: GrpoStage) -> None:
    """`check_fields` on this machine, and the types of the values.

    Raises:
        ConfigError, MissingExtraError: see `check_fields` and `passed`.
    """
    check_fields(config, use_cpu=uses_cpu(config))
    passed(config, GRPOConfig)


def grpo_arguments(config: GrpoStage, place: Place, shape: Shape,
                   weights: Sequence[float]) -> GRPOConfig:  # fmt: skip
    """TRL's config.

    Raises:
        ConfigError: see `check_fields`; or a value does not fit.
        MissingExtraError: see `check_report`.
    """
    check_fields(config, use_cpu=place.use_cpu)
    values = _defaults(config) | passed(config, GRPOConfig) | _owned(config, place)
    values |= _grpo(config, shape, weights)
    if "use_cpu" not in config.trl:
        values["use_cpu"] = place.use_cpu
    try:
        with precision_of(config), warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # between trl's and transformers' names
            args = GRPOConfig(**values)
    except Exception as error:
        fail(ConfigError, where="stage grpo: trl", expected="values that GRPOConfig takes",
             found=str(error).split("\n", 1)[0], do="correct the field it names")  # fmt: skip
    # set behind its checks of intervals: `watch.py` saves at every evaluation
    args.load_best_model_at_end = config.evaluate_every is not None
    return args


def _defaults(config: GrpoStage) -> dict[str, Any]:
    """What may be changed under `trl`."""
    checkpointing = {"use_reentrant": False} if config.activation_checkpointing else None
    return {
        "logging_steps": 1, "logging_first_step": True, "disable_tqdm": True,
        "dataloader_pin_memory": False, "ddp_find_unused_parameters": False,
        "gradient_checkpointing_kwargs": checkpointing, "project": "whyguard",
        "run_name": f"grpo-seed{config.seed}",
    }  # fmt: skip


def _owned(config: GrpoStage, place: Place) -> dict[str, Any]:
    watched = config.evaluate_every is not None
    saves = config.checkpoint_every is not None or watched
    return {
        "output_dir": str(place.checkpoints), "num_train_epochs": config.epochs,
        "max_steps": config.max_steps or -1, "learning_rate": config.learning_rate,
        "weight_decay": config.weight_decay, "lr_scheduler_type": _SCHEDULES[config.schedule],
        "warmup_steps": warmup_steps(config, place.total_steps), "max_grad_norm": cut_at(config),
        "optim": config.optimiser, "seed": config.seed,
        "bf16": config.precision is Precision.BF16,
        "gradient_checkpointing": config.activation_checkpointing,
        "save_strategy": "steps" if saves else "no",
        "save_steps": config.checkpoint_every or place.total_steps + 1, "save_total_limit": None,
        "eval_strategy": "steps" if watched else "no", "eval_steps": config.evaluate_every,
        "metric_for_best_model": DEV_REWARD.name if watched else None,
        "greater_is_better": DEV_REWARD.higher if watched else None,
        "report_to": [] if config.report_to is Report.NONE else [config.report_to.value],
        "remove_unused_columns": False, "push_to_hub": False, "logging_nan_inf_filter": False,
    }  # fmt: skip


def _grpo(config: GrpoStage, shape: Shape, weights: Sequence[float]) -> dict[str, Any]:
    server = {"use_vllm": True, "vllm_mode": "server", "vllm_server_base_url": config.vllm_server}
    return {
        "per_device_train_batch_size": shape.forward_rows,
        "gradient_accumulation_steps": shape.accumulation,
        "steps_per_generation": shape.accumulation, "num_generations": config.generations,
        "per_device_eval_batch_size": config.generations,
        "num_iterations": config.iterations, "temperature": config.temperature,
        "top_p": config.top_p, "max_completion_length": config.completion_length,
        "beta": config.beta, "reward_weights": list(weights),
        "multi_objective_aggregation": config.aggregation, "log_completions": False,
        **(server if config.vllm_server else {}),
    }  # fmt: skip
