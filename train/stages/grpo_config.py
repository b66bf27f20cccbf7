"""Config of the GRPO stage.

The reference run of ConsistentGuard (arXiv 2510.10677) has learning rate 1e-5 along a cosine, 4
generations a prompt at temperature 0.3, gradients cut at 0.1, completions of up to 2,048 tokens and
rewards that all weigh 1. What differs here by default is smaller, so that a CPU can run it:
`completion_length` 256 and `best_length` 64. To repeat the reference run, set
`completion_length: 2048`, `best_length: 256`, `max_length: 4096`, `precision: bf16`.
"""

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from whyguard.core.values import Arm
from whyguard.train.config import Schedule, StageConfig
from whyguard.train.rewards.config import RewardConfig, RewardWeights, preset
from whyguard.train.segments import ARM_COLUMN


class GrpoStage(StageConfig):
    """Group relative policy optimisation: reasoning is rewarded. One prompt is one row.

    An optimiser step has `rows_a_step` prompts with `generations` completions each. `max_length`
    holds the prompt and `completion_length` together. `shared_preamble` changes nothing here: while
    completions are written what prompts begin with is always run once, in TRL's forward never.
    """

    stage: Literal["grpo"] = "grpo"
    rows_a_step: int = Field(default=4, ge=1)
    learning_rate: float = Field(default=1e-5, gt=0)
    schedule: Schedule = Schedule.COSINE
    max_grad_norm: float = Field(default=0.1, ge=0)
    generations: int = Field(default=4, ge=2)
    """Completions a prompt: the group that rewards are compared in."""
    temperature: float = Field(default=0.3, gt=0)
    top_p: float = Field(default=1.0, gt=0, le=1)
    completion_length: int = Field(default=256, ge=1)
    """Tokens after which a completion is cut off."""
    iterations: int = Field(default=1, ge=1)
    """Optimiser steps on the same completions."""
    beta: float = Field(default=0.0, ge=0)
    """Weight of the divergence from the model the stage begins with; 0: no reference is kept."""
    prefill_think: bool = True
    """The prompt ends with `<think>`, as the published one does."""
    stop_at_judge: bool | None = None
    """End completions behind `</judge>`. null: by arm, where it has no explanation."""

    rewards: Literal["paper_unit", "paper_weighted"] = "paper_unit"
    """Preset of the rewards' weights."""
    weights: RewardWeights | None = None
    """Weights in place of the preset's."""
    best_length: int = Field(default=64, ge=1)
    """Tokens of thinking that are rewarded most."""
    aggregation: Literal["sum_then_normalize", "normalize_then_sum"] = "sum_then_normalize"
    """sum_then_normalize: groups compare the weighted sum, as in the paper. normalize_then_sum:
    each reward is divided by its spread in the group first, so that none drowns another."""

    evaluate_every: int | None = Field(default=None, ge=1)
    """Optimiser steps between evaluations on dev prompts, one greedy completion each; the step with
    the highest mean reward is kept. Needs whole weights in each process: one device, or DDP."""
    dev_limit: int | None = Field(default=64, ge=1)
    """Dev prompts that are evaluated, taken in turn from each language and label; null: all."""

    vllm_server: str | None = None
    """Address of a running `trl vllm-serve`, which then writes the completions (needs a GPU)."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.completion_length >= self.max_length:
            raise ValueError(f"completion_length under max_length ({self.max_length}): it must "
                             "leave room for the prompt")  # fmt: skip
        if not any(self.reward_config.weights.model_dump().values()):
            raise ValueError("weights above 0 for one reward or more: nothing is rewarded, and "
                             "nothing would be learnt")  # fmt: skip
        if self.stop_at_judge and self.explains and self.explanation_weights:
            raise ValueError("stop_at_judge: false with weights for explanations: "
                             f"{', '.join(self.explanation_weights)}")  # fmt: skip
        return self

    def keyed(self) -> dict[str, Any]:
        """See `StageConfig.keyed`; neither is who writes completions, nor an idle `dev_limit`."""
        idle = {"vllm_server"} if self.evaluate_every else {"vllm_server", "dev_limit"}
        return {name: value for name, value in super().keyed().items() if name not in idle}

    @property
    def explains(self) -> bool:
        """Whether the arm has an explanation."""
        return ARM_COLUMN[self.arm] is not None

    @property
    def stops(self) -> bool:
        """Whether completions end behind `</judge>`."""
        return not self.explains if self.stop_at_judge is None else self.stop_at_judge

    @property
    def rewarded_arm(self) -> Arm:
        """The arm that rewards are told: what was stopped before its explanation has none."""
        return Arm.REFUSAL_ONLY if self.stops else self.arm

    @property
    def reward_config(self) -> RewardConfig:
        """What is rewarded how much."""
        changes = {} if self.weights is None else {"weights": self.weights}
        return preset(self.rewards, best_length=self.best_length,
                      prefilled_think=self.prefill_think, **changes)  # fmt: skip

    @property
    def explanation_weights(self) -> tuple[str, ...]:
        """Names of the rewards of explanations that weigh anything."""
        names = ("explanation_language", "category", "agreement")
        weights = self.reward_config.weights.model_dump()
        return tuple(name for name in names if weights[name])
