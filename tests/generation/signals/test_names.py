"""Names that other folders write are those that are measured here."""

from whyguard.generation.signals import names
from whyguard.generation.signals.names import Signal


def test_shared_names_are_one_name() -> None:
    assert Signal(names.LENGTH_RATIO) is Signal.LENGTH_RATIO
    assert Signal(names.GLOSSARY_VIOLATIONS) is Signal.GLOSSARY_VIOLATIONS
    assert {names.UNKNOWN_WORD_SHARE, names.LOST_PLACEHOLDERS}.isdisjoint(Signal)
