"""What an audit says of the rows that nobody reviewed, by language, round and question."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from whyguard.annotation.audit.bound import (
    ALPHA,
    lower_rate,
    shared_alpha,
    statement,
    upper_rate,
)
from whyguard.annotation.audit.questions import AuditQuestion, asked_by
from whyguard.annotation.questions import Issue, Q, labels_of
from whyguard.annotation.routing.answers import POOR, Decided, decided
from whyguard.core.tables import Row
from whyguard.core.values import Purpose

_SPOILS = frozenset({Issue.HELPS_THE_HARM.value, Issue.CONTRADICTS_THE_VERDICT.value})
"""Issues that make a rationale wrong whatever its rating."""


@dataclass(frozen=True, slots=True)
class AuditStatement:
    """One question of one audit. Rates are shares of the pool, 0..1.

    A drawn row without a final answer (not answered yet, a tie, unsure) counts as wrong in `upper`
    and as right in `lower`: whatever it turns out to be, the bounds hold. `upper_answered` leaves
    such rows out, as if chance alone had decided which were answered: it says less, and is not what
    the audit states.
    """

    language: str
    round: int
    question: AuditQuestion
    pool: int | None
    """Rows that were drawn from; None where the number with a rationale is not known."""
    drawn: int
    answered: int
    wrong: int
    """Of those answered."""
    upper: float
    upper_answered: float
    lower: float
    best: float
    """What `upper` comes to if every open row turns out to be right."""
    sentence: str

    @property
    def left(self) -> int:
        """Drawn rows without a final answer."""
        return self.drawn - self.answered


def statements(items: pl.DataFrame, decisions: pl.DataFrame,
               questions: Sequence[AuditQuestion] = tuple(AuditQuestion), *,
               rationales: Mapping[tuple[str, int], int] | None = None, alpha: float = ALPHA,
               poor: int = POOR) -> list[AuditStatement]:  # fmt: skip
    """One statement a language, round and question; all questions of an audit hold together.

    Args:
        items: review items of all rounds; those of other purposes are left aside.
        decisions: what the answers to them came to.
        questions: those of them that an audit asked are stated, each bounded at alpha / their
            number (Bonferroni).
        rationales: (language, round) -> rows with a rationale in the frozen pool (see
            `draw.rationale_pools`); without it the pool of that question is taken as endless, which
            makes its bounds wider, never narrower.
        alpha: 1 - level of all of an audit's upper bounds together.
        poor: a rating up to this one is wrong.
    """
    audited = items.filter(pl.col("purpose") == Purpose.AUDIT.value).to_dicts()
    values = decided(decisions.to_dicts())
    audits: dict[tuple[str, int], list[Row]] = defaultdict(list)
    for item in audited:
        audits[item["language"], item["round"]].append(item)
    found = []
    for key in sorted(audits):
        possible = asked_by({item["kind"] for item in audits[key]})
        asked = [question for question in possible if question in questions]
        for question in asked:
            own = [item for item in audits[key] if _asked(item, question)]
            pool = _pool(audits[key], question, (rationales or {}).get(key))
            verdicts = [wrong(question, item, values.get(item["item_id"], {}), poor)
                        for item in own]  # fmt: skip
            found.append(_stated(key, question, pool, verdicts, len(asked), alpha))
    return found


def wrong(question: AuditQuestion, item: Row, values: Decided, poor: int = POOR) -> bool | None:
    """Whether people found the row wrong in this; None where they came to no answer.

    - verdict: it is not the label;
    - translation: adequacy of `poor` or less;
    - rationale: quality of `poor` or less, or it helps the harm or contradicts the verdict.
    """
    if question is AuditQuestion.VERDICT:
        verdict = values.get(Q.VERDICT)
        return None if verdict is None else verdict != item["label"]
    if question is AuditQuestion.TRANSLATION:
        return _rated_poor(values.get(Q.TRANSLATION_ADEQUACY), poor)
    if labels_of(values.get(Q.ISSUES, "[]")) & _SPOILS:
        return True
    return _rated_poor(values.get(Q.RATIONALE_QUALITY), poor)


def _rated_poor(rating: str | None, poor: int) -> bool | None:
    return None if rating is None else int(rating) <= poor


def _asked(item: Row, question: AuditQuestion) -> bool:
    if item["kind"] != question.kind:
        return False
    return question is not AuditQuestion.RATIONALE or item["rationale"] is not None


def _pool(items: Sequence[Row], question: AuditQuestion, rationales: int | None) -> int | None:
    if question is AuditQuestion.RATIONALE:
        return rationales
    return max((int(item["pool"]) for item in items if item["pool"] is not None), default=None)


def _stated(key: tuple[str, int], question: AuditQuestion, pool: int | None,
            verdicts: Sequence[bool | None], questions: int, alpha: float
            ) -> AuditStatement:  # fmt: skip
    known = [verdict for verdict in verdicts if verdict is not None]
    drawn, answered, bad = len(verdicts), len(known), sum(known)
    left, own = drawn - answered, shared_alpha(questions, alpha)
    return AuditStatement(
        *key, question, pool, drawn, answered, bad,
        upper=upper_rate(pool, drawn, bad + left, own),
        upper_answered=upper_rate(pool, answered, bad, own),
        lower=lower_rate(pool, drawn, bad, own),
        best=upper_rate(pool, drawn, bad, own),
        sentence=_sentence(pool, drawn, bad, left, questions, alpha),
    )  # fmt: skip


def _sentence(pool: int | None, drawn: int, bad: int, left: int, questions: int, alpha: float
              ) -> str:  # fmt: skip
    together = f", all {questions} questions together" if questions > 1 else ""
    level = f"{100 * (1 - alpha):.4g} %{together}"
    own = shared_alpha(questions, alpha)
    if not drawn:
        return statement(pool, 0, 0, own)
    said = statement(pool, drawn, bad + left, own, level=level)
    if not left:
        return said
    best = statement(pool, drawn, bad, own, level=level)
    return (f"{left} without a final answer count as wrong: {said}. If all of them turn out right: "
            f"{best}")  # fmt: skip
