"""Which figures the report speaks of, and the words it uses for them."""

from whyguard.core.values import Arm
from whyguard.train.justify import CHRF, EMPTY, RIGHT_LANGUAGE, SPECIFIC
from whyguard.train.metrics import AUROC, F1, FALSE_REFUSALS, RECALL, RELATED

JUSTIFICATION = (RIGHT_LANGUAGE, CHRF, SPECIFIC, EMPTY)

BASE_ARM = "base"
HEADLINE_ARMS = (Arm.EXPLAINED.value, Arm.REFUSAL_ONLY.value)
HEADLINE = " - ".join(HEADLINE_ARMS)
"""The one contrast fixed before training: explained minus refusal-only."""
SPECIFICITY = " - ".join((Arm.EXPLAINED.value, Arm.EXPLAINED_TEMPLATE.value))
"""What prompt-specific wording adds to naming the category."""

METRIC_WORDS = {
    RECALL: "harmful caught at 5 % false refusals",
    AUROC: "AUROC",
    FALSE_REFUSALS: "false refusals",
    F1: "F1 of harmful",
    RIGHT_LANGUAGE: "in the right language",
    CHRF: "chrF to the reference",
    SPECIFIC: "specific to its prompt",
    EMPTY: "missing",
}
POOL_WORDS = {RELATED: "related, pooled"}

ARM_WORDS = {
    Arm.REFUSAL_ONLY.value: "learned the verdict alone",
    Arm.EXPLAINED.value: "learned the verdict and, for harmful requests, a brief rationale written "
    "for that request, in its language",
    Arm.EXPLAINED_TEMPLATE.value: "learned the verdict and, for harmful requests, a stock sentence "
    "that names the category (a control)",
    BASE_ARM: "is the model before this training",
}
