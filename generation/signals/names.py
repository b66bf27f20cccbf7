"""Names of the quality signals: what stands in `signals` as `{"name": ..., "value": ...}`.

A value of null means not measurable here, never zero. Nothing else of `generation` is imported, so
that every folder may write or read these names.
"""

from enum import StrEnum

UNKNOWN_WORD_SHARE = "unknown_word_share"
"""Words that the translation engine left as they stood, as a share of the translation's words."""
LENGTH_RATIO = "length_ratio"
"""Characters of the translation for one of the source."""
LOST_PLACEHOLDERS = "lost_placeholders"
"""Count of masked pieces that the engine lost."""
GLOSSARY_VIOLATIONS = "glossary_violations"
"""Count of locked terms of the source whose target form is not in the translation."""


class Signal(StrEnum):
    """Signals that the steps of this folder measure."""

    LANGUAGE_CONFIDENCE = "language_confidence"
    """Probability of the declared language among those the classifier knows, 0..1."""
    SCRIPT_PURITY = "script_purity"
    """Share of the letters that are in the language's script, 0..1."""
    CODE_SWITCH_SHARE = "code_switch_share"
    """Share of windows of words that are clearly in another language the classifier knows, 0..1."""
    COPIED_SHARE = "copied_share"
    """Share of the source's word trigrams that stand unchanged in the translation, 0..1."""
    LENGTH_RATIO = "length_ratio"
    """Characters of the translation for one of the source."""
    LENGTH_RATIO_Z = "length_ratio_z"
    """Robust z-score of the log length ratio against the language's rows in the batch."""
    NUMBERS_KEPT = "numbers_kept"
    """Share of the source's numbers that are in the translation, 0..1."""
    PLACEHOLDERS_KEPT = "placeholders_kept"
    """Share of the source's placeholders, addresses and code that are in the translation, 0..1."""
    GLOSSARY_VIOLATIONS = "glossary_violations"
    """Count of locked terms of the source whose target form is not in the translation."""
    NEGATION_SHIFT = "negation_shift"
    """Negation words of the translation minus those of the source; 0 is as it should be."""
    ROUND_TRIP_CHRF = "round_trip_chrf"
    """chrF2 of the back-translation against the source, 0..100."""
    ROUND_TRIP_OVERLAP = "round_trip_overlap"
    """Share of the source's content words that the back-translation has, 0..1."""
    HARM_AGREEMENT = "harm_agreement"
    """P(source label) by the judge on the translation or its back-translation, 0..1."""
    HARM_SHIFT = "harm_shift"
    """P(harmful) on the translation or its back-translation minus P(harmful) on the source."""
    PROMPT_REPEATED = "prompt_repeated"
    """Explanations: share of the word trigrams of their prompt that they repeat, 0..1."""
