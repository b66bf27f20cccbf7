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


class Reasoning(StrEnum):
    """What a guard's completion begins with: a factor of its own, equal in all arms compared."""

    NONE = "none"
    """Nothing: the verdict comes first."""
    ENGLISH_COT = "english_cot"
    """English thinking and the categories violated, whatever the prompt's language."""


class ReviewKind(StrEnum):
    """Which of a language's review datasets an item belongs to."""

    BLIND = "blind"
    """The prompt alone: verdicts for agreement, gold and audit."""
    RATIONALE = "rationale"
    """Source, translation, rationale and trace: rated and rewritten."""


class Purpose(StrEnum):
    """Why an item is reviewed."""

    WORK = "work"
    """The router thinks it likely to be wrong."""
    RANDOM = "random"
    """Drawn at random: what the router's risk is calibrated on."""
    GOLD = "gold"
    """Its answer is known: how annotators do on it is what is asked."""
    AUDIT = "audit"
    """Drawn uniformly from the rows that would be released unreviewed."""


class Rule(StrEnum):
    """What decided an item's question, or why nothing did."""

    ADJUDICATED = "adjudicated"
    """An adjudicator answered: it stands above all others."""
    SINGLE = "single"
    """One answer was asked for, and given."""
    UNANIMOUS = "unanimous"
    """All answers are the same."""
    MAJORITY = "majority"
    """More than half of the answers are the same; for sets, label by label."""
    MEDIAN = "median"
    """Ratings at most one step apart: their lower median."""
    TIE = "tie"
    """No value has more than half of the answers: an adjudicator is asked."""
    SPREAD = "spread"
    """Ratings two or more steps apart: an adjudicator is asked."""
    TOO_FEW = "too_few"
    """Fewer answers than were asked for."""


UNDECIDED = frozenset({Rule.TIE, Rule.SPREAD, Rule.TOO_FEW})
"""Rules after which there is no final value."""


CATEGORY_CODES = tuple(f"S{n}" for n in range(1, 15))
"""S1..S14; names and definitions are data of the curation part."""

NOT_WRITTEN = ("S4",)
"""Categories that exist in the taxonomy and whose rows are never written, kept or printed."""
