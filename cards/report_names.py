"""Which figures the report speaks of, and the words it uses for them."""

from whyguard.core.values import Arm

RECALL = "recall_at_fpr"
AUROC = "auroc"
FALSE_REFUSALS = "false_refusal_rate"
F1 = "f1"
THRESHOLD = "threshold"
RIGHT_LANGUAGE, CHRF, SPECIFIC, EMPTY = "right_language", "chrf", "specific", "empty"
JUSTIFICATION = (RIGHT_LANGUAGE, CHRF, SPECIFIC, EMPTY)
POOLED_RELATED = "related"
POOLED_TRAIN = "train"

HEADLINE_ARMS = (Arm.EXPLAINED.value, Arm.REFUSAL_ONLY.value)
HEADLINE = " - ".join(HEADLINE_ARMS)
"""The one contrast fixed before training: explained minus refusal-only."""

METRIC_WORDS = {
    RECALL: "harmful caught at 5 % false refusals",
    AUROC: "AUROC",
    FALSE_REFUSALS: "false refusals",
    F1: "F1 of harmful",
    RIGHT_LANGUAGE: "in the right language",
    CHRF: "chrF to the reference",
    SPECIFIC: "specific to its prompt",
    EMPTY: "empty",
}
POOL_WORDS = {
    POOLED_RELATED: "related languages, pooled",
    POOLED_TRAIN: "training languages, pooled",
}

ARM_WORDS = {
    Arm.REFUSAL_ONLY.value: "learned the verdict alone",
    Arm.EXPLAINED.value: "learned the verdict and, for harmful requests, a brief rationale written "
    "for that request, in its language",
    Arm.EXPLAINED_TEMPLATE.value: "learned the verdict and, for harmful requests, a stock sentence "
    "that names the category (a control)",
}
