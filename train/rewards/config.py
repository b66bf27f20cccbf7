"""Which rewards count how much: frozen configs, and the two presets of the paper."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from whyguard.core.errors import ConfigError, fail
from whyguard.core.languages import ENGLISH
from whyguard.core.nearest import suggest

Weight = float


class RewardWeights(BaseModel):
    """The weight of each reward. What weighs 0 is measured and logged, and adds nothing.

    TRL's `normalize_then_sum` divides each reward by its spread first, then weighs it the same.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    accuracy: Weight = Field(default=0.0, ge=0.0)
    """Verdict == label."""
    format_think: Weight = Field(default=0.0, ge=0.0)
    """One closed think."""
    format_violations: Weight = Field(default=0.0, ge=0.0)
    """One closed violations, of distinct known codes or None."""
    format_judge: Weight = Field(default=0.0, ge=0.0)
    """One closed judge with a verdict."""
    format_order: Weight = Field(default=0.0, ge=0.0)
    """All of them in order, and nothing outside: the grammar's parser reads the completion."""
    length: Weight = Field(default=0.0, ge=0.0)
    """Sine of the thinking's length."""
    diversity: Weight = Field(default=0.0, ge=0.0)
    """Few repeated trigrams in the thinking."""
    thinking_language: Weight = Field(default=0.0, ge=0.0)
    """Share of the thinking that is in the thinking's language."""
    explanation_language: Weight = Field(default=0.0, ge=0.0)
    """The explanation is in the language it should be in."""
    category: Weight = Field(default=0.0, ge=0.0)
    """The explanation's wording mentions a right category."""
    agreement: Weight = Field(default=0.0, ge=0.0)
    """The explanation agrees with the completion's verdict."""


REWARDS = tuple(RewardWeights.model_fields)
"""Names of all rewards, in the order in which they are logged."""


class RewardConfig(BaseModel):
    """How completions are rewarded; everything here changes the training."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    weights: RewardWeights
    best_length: int = Field(default=256, ge=1)
    """Tokens of thinking that are rewarded most."""
    prefilled_think: bool = False
    """The prompt ends with `<think>`, as the published one does."""
    thinking_language: str = ENGLISH
    """The language of the thinking, whatever the prompt's is."""


_FORMAT = ("format_think", "format_violations", "format_judge", "format_order")
PAPER_UNIT = RewardConfig(weights=RewardWeights(
    accuracy=1.0, length=1.0, diversity=1.0, **dict.fromkeys(_FORMAT, 1.0)))  # fmt: skip
"""The reference run: seven rewards that all weigh 1, so that format has 4 of 7 points."""
PAPER_WEIGHTED = RewardConfig(weights=RewardWeights(
    accuracy=0.4, length=0.2, diversity=0.2, **dict.fromkeys(_FORMAT, 0.1)))  # fmt: skip
"""The weights that the comments of the published code suggest; they add up to 1.2."""
PRESETS = {"paper_unit": PAPER_UNIT, "paper_weighted": PAPER_WEIGHTED}


def preset(name: str, **changes: Any) -> RewardConfig:
    """A preset by name, with other values for some fields of `RewardConfig`.

    Raises:
        ConfigError: there is no such preset.
        pydantic.ValidationError: a changed field is unknown or has a value it cannot have.
    """
    if name not in PRESETS:
        fail(ConfigError, where="reward preset", expected=f"one of {', '.join(PRESETS)}",
             found=f"'{name}'", do=suggest(name, PRESETS))  # fmt: skip
    return RewardConfig.model_validate({**dict(PRESETS[name]), **changes})
