"""Stage configs: one family for every training stage, read from YAML with file, line and key.

Defaults are those of small models on one machine. The reference run of ConsistentGuard
(arXiv 2510.10677; Qwen2.5-3B, all weights, bf16) is, key by key:

| key | sft | grpo | cao |
|---|---|---|---|
| learning_rate | 5e-5 | 1e-5 | 5e-6 |
| schedule | linear | cosine | linear |
| epochs | 1 | 1 | 3 |
| rows_a_step | 4 | 4 | 8 |
| max_grad_norm | 1.0 | 0.1 | 1.0 |
| beta, lam | | | 0.1, 1 |
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from whyguard.core.languages import LanguageCode
from whyguard.core.refs import ModelRef
from whyguard.core.values import Arm, Reasoning
from whyguard.generation.guard.prompts import DEFAULT_TEMPLATE
from whyguard.generation.models import Precision
from whyguard.train.lam import LamSchedule

STAGES: dict[str, str] = {
    "sft": "whyguard.train.config:SftStage",
    "grpo": "whyguard.train.stages.grpo_config:GrpoStage",
    "dpo": "whyguard.train.config:DpoStage",
    "cao": "whyguard.train.config:CaoStage",
    "none": "whyguard.train.config:NoneStage",
}
"""Stage name -> "module:class" of its config; imported only when a stage is asked for."""

RUNNERS: dict[str, str] = {
    "sft": "whyguard.train.stages.sft:run_sft_stage",
    "grpo": "whyguard.train.stages.grpo:run_grpo_stage",
    "dpo": "whyguard.train.stages.preference:run_preference_stage",
    "cao": "whyguard.train.stages.preference:run_preference_stage",
    "none": "whyguard.train.stages.preference:run_none_stage",
}
"""Stage name -> "module:function" (StageJob) -> StageResult; see stages/run.py."""

LEARNS_FROM_PAIRS = frozenset({"dpo", "cao", "none"})
"""Stages whose `data` is a folder of pairs."""


class Schedule(StrEnum):
    """How the learning rate goes on after the warm-up."""

    LINEAR = "linear"
    """Down to 0 in a line."""
    COSINE = "cosine"
    """Down to 0 along half a cosine."""
    CONSTANT = "constant"
    """It stays."""


class Report(StrEnum):
    """Where curves are sent, beside the stage's own table."""

    TENSORBOARD = "tensorboard"
    """Event files below the stage's folder."""
    TRACKIO = "trackio"
    """A local trackio project."""
    WANDB = "wandb"
    """Weights & Biases: leaves the machine unless WANDB_MODE=offline."""
    NONE = "none"
    """Nowhere."""


class LoraSettings(BaseModel):
    """Low-rank adapters on all linear layers, merged into the weights after training."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    r: int = Field(default=16, ge=1)
    alpha: int = Field(default=32, ge=1)
    dropout: float = Field(default=0.0, ge=0.0, lt=1.0)


class StageConfig(BaseModel):
    """What every stage has. Its subclasses set defaults and add what is their own."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    stage: str
    model: ModelRef | None = None
    """Model to start from; in a pipeline, left out: the stage before."""
    data: str | None = None
    """Dataset version NAME@DATE[.N] (below `datasets`) or a folder of one; of dpo and cao: the
    folder of pairs. In a pipeline, left out: the pipeline's data, or the pairs made before."""
    datasets: str = "workspace/datasets"
    """Folder of dataset versions."""
    target: Literal["guard"] = "guard"
    """What the model answers; `guard`: verdict and explanation."""
    arm: Arm = Arm.EXPLAINED
    languages: tuple[LanguageCode, ...] = ()
    """Languages to train on; empty: all of the data."""
    prompt: str = DEFAULT_TEMPLATE
    """Name of the prompt template."""
    max_length: int = Field(default=512, ge=16)
    """Tokens; a longer row is dropped."""
    lora: LoraSettings | None = None
    """Adapters; null trains all weights."""
    precision: Precision = Precision.FP32
    """Arithmetic of training; weights are kept and saved in fp32."""
    shared_preamble: bool = True
    """Run what rows begin with alike once, by the fast path; false: the model's own forward on
    whole rows, for models that the fast path does not know. Same results, slower."""

    rows_a_step: int = Field(default=8, ge=1)
    """Rows (pairs) an optimiser step, over all processes."""
    batch_tokens: int = Field(default=4096, ge=1)
    """Tokens a forward pass: rows times the longest of them, without what they share."""
    epochs: int = Field(default=1, ge=1)
    max_steps: int | None = Field(default=None, ge=1)
    """Stop after so many optimiser steps, whatever `epochs` says."""
    learning_rate: float = Field(default=5e-5, gt=0)
    schedule: Schedule = Schedule.LINEAR
    warmup: float = Field(default=0.05, ge=0, lt=1)
    """Share of the steps over which the learning rate rises, rounded down to whole steps."""
    weight_decay: float = Field(default=0.0, ge=0)
    max_grad_norm: float = Field(default=1.0, ge=0)
    """Gradients are cut to this norm; 0: never."""
    optimiser: str = "adamw_torch"
    """Name of an optimiser of transformers."""
    seed: int = Field(default=0, ge=0)

    checkpoint_every: int | None = Field(default=50, ge=1)
    """Optimiser steps; null: no checkpoints, nothing to resume from."""
    evaluate_every: int | None = Field(default=None, ge=1)
    """Optimiser steps between losses on the dev rows; the step with the best one is kept."""
    patience: int | None = Field(default=None, ge=1)
    """Stop after so many evaluations without a better one."""
    activation_checkpointing: bool = False
    """Compute activations again in the backward pass: less memory, a third more time."""
    report_to: Report = Report.NONE
    trl: dict[str, Any] = {}
    """Any further field of TRL's config of this stage, by its TRL name."""

    @model_validator(mode="after")
    def _patience_needs_dev(self) -> Self:
        if self.patience is not None and self.evaluate_every is None:
            raise ValueError("patience needs evaluate_every: it counts evaluations on dev rows")
        return self

    def keyed(self) -> dict[str, Any]:
        """The config without what only moves arithmetic about: what may change on a resume."""
        return self.model_dump(mode="json", exclude=set(_NOT_KEYED))


_NOT_KEYED = ("datasets", "batch_tokens", "checkpoint_every", "activation_checkpointing",
              "report_to", "shared_preamble", "reference")  # fmt: skip


class SftStage(StageConfig):
    """Supervised fine-tuning: the cold start. One row of the data is one row."""

    stage: Literal["sft"] = "sft"
    rows_a_step: int = Field(default=4, ge=1)
    reasoning: Reasoning = Reasoning.NONE
    """english_cot: completions begin with the rows' English traces, as GRPO will reward them."""
    reasoning_weight: float = Field(default=1.0, gt=0)
    """Sum of the loss weights of a trace's tokens; the verdict's is 1."""
    explanation_weight: float = Field(default=1.0, gt=0)
    """Sum of the loss weights of an explanation's tokens; the verdict's is 1."""
    compare: tuple[Arm, ...] = ()
    """Arms this one will be compared with: a row must be renderable in each of them."""
    missing: Literal["error", "drop"] = "error"
    """What to do with a harmful row that lacks the explanation an arm needs, and with any row that
    lacks the trace that `reasoning` needs."""


class _PreferenceStage(StageConfig):
    """What DPO and CAO share. One pair is one row."""

    learning_rate: float = Field(default=5e-6, gt=0)
    epochs: int = Field(default=3, ge=1)
    beta: float = Field(default=0.1, gt=0)
    """How strongly the preference holds on to the reference."""
    length_normalisation: bool = False
    """Divide log-ratios by the completions' lengths (TRL's `sigmoid_norm`)."""
    reference: str | None = None
    """Folder of the cached reference; null: `reference` in the stage's folder."""


class DpoStage(_PreferenceStage):
    """Direct preference optimisation on the pairs, without the anchor: the baseline."""

    stage: Literal["dpo"] = "dpo"


class CaoStage(_PreferenceStage):
    """Constrained alignment optimisation: DPO on x_t, held to the reference on x_e."""

    stage: Literal["cao"] = "cao"
    lam: float = Field(default=1.0, ge=0)
    """Weight of the anchor's KL divergence."""
    lam_schedule: LamSchedule = LamSchedule.CONSTANT
    lam_warmup: float = Field(default=0.1, ge=0, le=1)
    """Share of the steps over which a linear schedule rises."""


class NoneStage(StageConfig):
    """No alignment: the model is passed on as it is, so that all arms have the same stages."""

    stage: Literal["none"] = "none"

    @model_validator(mode="after")
    def _nothing_to_pass(self) -> Self:
        if self.trl:
            raise ValueError("no fields of TRL: this stage trains nothing")
        return self


OWNED: Mapping[str, str] = {
    "output_dir": "--out", "seed": "seed", "data_seed": "seed", "learning_rate": "learning_rate",
    "lr_scheduler_type": "schedule", "warmup_steps": "warmup", "weight_decay": "weight_decay",
    "max_grad_norm": "max_grad_norm", "optim": "optimiser", "num_train_epochs": "epochs",
    "max_steps": "max_steps", "per_device_train_batch_size": "batch_tokens",
    "per_device_eval_batch_size": "batch_tokens", "auto_find_batch_size": "batch_tokens",
    "gradient_accumulation_steps": "rows_a_step", "train_sampling_strategy": "rows_a_step",
    "packing": "batch_tokens", "packing_strategy": "batch_tokens", "eval_packing": "batch_tokens",
    "padding_free": "batch_tokens", "pad_to_multiple_of": "batch_tokens",
    "bf16": "precision", "fp16": "precision", "gradient_checkpointing": "activation_checkpointing",
    "activation_checkpointing": "activation_checkpointing", "max_length": "max_length",
    "truncation_mode": "max_length", "save_strategy": "checkpoint_every",
    "save_steps": "checkpoint_every", "save_total_limit": "checkpoint_every",
    "save_only_model": "checkpoint_every", "ignore_data_skip": "checkpoint_every",
    "resume_from_checkpoint": "checkpoint_every", "eval_strategy": "evaluate_every",
    "eval_steps": "evaluate_every", "do_eval": "evaluate_every",
    "load_best_model_at_end": "evaluate_every", "metric_for_best_model": "evaluate_every",
    "greater_is_better": "evaluate_every", "report_to": "report_to", "beta": "beta",
    "model_init_kwargs": "model", "trust_remote_code": "model", "dataset_kwargs": "data",
    "completion_only_loss": "explanation_weight", "assistant_only_loss": "explanation_weight",
    "shuffle_dataset": "seed",
}  # fmt: skip
"""Fields of TRL's configs that a stage sets from a key of its own."""

HUB: Mapping[str, str] = {
    "push_to_hub": "publish the finished folder yourself",
    "hub_token": "take it out, and change the token if this file was shared: what stands here is "
                 "stored with the guard",
    **dict.fromkeys(("hub_model_id", "hub_strategy", "hub_always_push", "hub_private_repo",
                     "hub_revision"), "take it out: nothing is uploaded"),
}  # fmt: skip
"""Fields of uploads, which no stage makes, and what to do instead."""

LOGGED: Mapping[str, str] = dict.fromkeys(
    ("logging_strategy", "logging_steps", "logging_first_step"),
    "take it out: each step is logged, for totals and resumed counts are read from the log",
)
"""Fields of how often is logged, and what to do instead."""

IGNORED_BY_LOSS = frozenset({
    *HUB, *LOGGED,
    "loss_type", "loss_weights", "label_smoothing", "label_smoothing_factor", "ld_alpha",
    "discopop_tau", "f_divergence_type", "f_alpha_divergence_coef", "use_weighting",
    "precompute_ref_log_probs", "precompute_ref_batch_size", "sync_ref_model",
    "ref_model_mixup_alpha", "ref_model_sync_steps", "router_aux_loss_coef", "neftune_noise_alpha",
    "average_tokens_across_devices", "use_liger_kernel", "liger_kernel_config",
    "dataset_text_field", "dataset_num_proc", "eos_token", "pad_token", "chat_template_path",
    "remove_unused_columns", "logging_nan_inf_filter",
    "length_column_name", "label_names", "prediction_loss_only", "eval_on_start",
})  # fmt: skip
"""Fields that would have no effect here, or an effect on what the stage's loss relies on."""

INSTEAD: Mapping[str, str] = {
    "loss_type": "the loss is the stage's own: choose `stage`, or set `length_normalisation`",
    "precompute_ref_log_probs": "the reference is always computed once and cached: `reference`",
    "label_smoothing": "the loss is the stage's own",
    **HUB, **LOGGED,
}  # fmt: skip
"""What to do instead of some of them."""
