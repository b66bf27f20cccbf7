"""What an audit states something about, and which items that takes."""

from collections.abc import Collection
from enum import StrEnum

from whyguard.core.values import ReviewKind


class AuditQuestion(StrEnum):
    """A question of an audit; the level is shared by all that its items ask."""

    VERDICT = "verdict"
    """Is the label right? From blind items."""
    TRANSLATION = "translation"
    """Does the translation say what its source says?"""
    RATIONALE = "rationale"
    """Is the rationale right? Over the rows that have one."""

    @property
    def kind(self) -> ReviewKind:
        """The kind of item that asks it."""
        return ReviewKind.BLIND if self is AuditQuestion.VERDICT else ReviewKind.RATIONALE


def asked_by(kinds: Collection[str]) -> tuple[AuditQuestion, ...]:
    """All questions that items of these kinds ask: a rationale item asks two."""
    return tuple(question for question in AuditQuestion if question.kind in kinds)
