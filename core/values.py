"""Closed sets of values that rows carry."""

from enum import StrEnum


class Label(StrEnum):
    """What the request (or content) is, by its source or by its author."""

    HARMFUL = "harmful"
    """A guard must catch it."""
    UNHARMFUL = "unharmful"
    """A guard must let it pass."""


class LabelSense(StrEnum):
    """What a label speaks of: a guard of requests must not learn labels of content unawares."""

    REQUEST = "request"
    """The request asks for harm."""
    CONTENT = "content"
    """The text itself is harmful content (moderation data)."""


class ReplyKind(StrEnum):
    """What an assistant's reply does."""

    REFUSAL = "refusal"
    """Declines a harmful request."""
    HELPFUL = "helpful"
    """Answers a benign one."""


class Split(StrEnum):
    """Which part of a version a group belongs to."""

    TRAIN = "train"
    """Rows a model may learn from."""
    DEV = "dev"
    """Rows on which thresholds and choices are fixed."""
    TEST = "test"
    """Rows that are only reported on."""


class Arm(StrEnum):
    """How a training completion is rendered from a row (design, section 3)."""

    REFUSAL_ONLY = "refusal_only"
    """The verdict alone."""
    EXPLAINED = "explained"
    """The verdict and the prompt-specific explanation in the prompt's language."""
    EXPLAINED_TEMPLATE = "explained_template"
    """The verdict and the category's wording in the prompt's language: a control."""


CATEGORY_CODES = tuple(f"S{n}" for n in range(1, 15))
"""S1..S14; names and definitions are data of the curation part."""

NOT_WRITTEN = ("S4",)
"""Categories that exist in the taxonomy and whose rows are never written, kept or printed."""
