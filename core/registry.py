"""Which steps there are: name -> "module:attribute", imported only when a recipe uses one."""

import importlib
from typing import Any

from whyguard.core.errors import ConfigError, fail
from whyguard.core.nearest import suggest
from whyguard.core.steps import Step

STEPS: dict[str, str] = {
    "curation.read": "whyguard.curation.read:READ",
    "curation.deduplicate": "whyguard.curation.deduplicate:DEDUPLICATE",
    "curation.split": "whyguard.curation.split:SPLIT",
    "generation.translate": "whyguard.generation.translation.step:PROMPTS",
    "generation.trace": "whyguard.generation.writing.trace:TRACE",
    "generation.filter_traces": "whyguard.generation.writing.filters:FILTER_TRACES",
    "generation.explain": "whyguard.generation.writing.explain:EXPLAIN",
    "generation.translate_explanations": "whyguard.generation.translation.step:EXPLANATIONS",
    "generation.filter_explanations": "whyguard.generation.writing.filters:FILTER_EXPLANATIONS",
    "generation.reply": "whyguard.generation.writing.reply:REPLY",
    "generation.filter_replies": "whyguard.generation.writing.filter_replies:FILTER_REPLIES",
    "generation.signals": "whyguard.generation.signals.step:PROMPTS",
    "generation.explanation_signals": "whyguard.generation.signals.step:EXPLANATIONS",
    "generation.examples": "whyguard.generation.examples:EXAMPLES",
    "annotation.route": "whyguard.annotation.routing.step:ROUTE",
    "annotation.audit": "whyguard.annotation.audit.draw:AUDIT",
    "annotation.answers": "whyguard.annotation.deciding.answers:ANSWERS",
    "annotation.decide": "whyguard.annotation.deciding.decide:DECIDE",
    "annotation.revise": "whyguard.annotation.deciding.revise:REVISE",
    "train.pairs": "whyguard.train.pairs:PAIRS",
    "train.sft": "whyguard.train.sft:SFT",
    "train.evaluate": "whyguard.train.evaluate:EVALUATE",
    "cards.version": "whyguard.cards.version:VERSION",
    "cards.report": "whyguard.cards.report:REPORT",
}

SPENT = "whyguard.generation.calls.estimates:spent"
"""(ledger folder, recipe's name) -> what the recipe has paid for model calls."""


def load_step(name: str, where: str = "step") -> Step[Any, Any]:
    """The step of that name.

    Raises:
        ConfigError: there is none; the message names the nearest.
    """
    if name not in STEPS:
        fail(
            ConfigError,
            where=where,
            expected="the name of a step",
            found=f"'{name}'",
            do=suggest(name, STEPS),
        )
    return load_object(STEPS[name])  # type: ignore[no-any-return]


def load_object(target: str) -> Any:
    """Import "module:attribute"."""
    module, _, attribute = target.partition(":")
    return getattr(importlib.import_module(module), attribute)
