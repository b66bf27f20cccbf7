"""The rule that makes one value of several people's answers to one question on one item.

In order: an adjudicator's answer stands above all others; fewer answers than wanted decide nothing;
otherwise the kind of question says what agreement is.

| question | all the same | otherwise decided | otherwise undecided |
|---|---|---|---|
| one label | unanimous | more than half: majority | tie |
| rating | unanimous | at most one step apart: median | spread |
| set of labels | unanimous | each label has more or less than half: majority | tie |
| text | unanimous | more than half wrote the same: majority | tie |

Nothing depends on the order in which answers came in, and a further answer that says what was
decided never undoes a decision.
"""

import datetime
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

from whyguard.annotation.questions import Answering, Question, labels_of
from whyguard.core.hashing import canonical_json
from whyguard.core.values import UNDECIDED, Rule
from whyguard.curation.normalise import normalise


class Answer(NamedTuple):
    """One person's answer in its stored form (see `core.schemas.Review.value`)."""

    annotator: str
    adjudicator: bool
    value: str
    submitted_at: datetime.datetime


class LeftOut(NamedTuple):
    """What it means to leave an optional question out.

    `value` is the answer that it stands for (the original text, the empty set); `present` are the
    answers to the item's required question: they tell who was there, and when.
    """

    value: str
    present: Sequence[Answer]


class Decided(NamedTuple):
    """The value, None where nothing was decided; the rule; and whose answers made it, sorted.

    Those are the people who gave the value, or all, where it is a median or was put together label
    by label, and where nothing was decided.
    """

    value: str | None
    rule: Rule
    annotators: tuple[str, ...]


def decide(question: Question, answers: Sequence[Answer], wanted: int, *,
           default: LeftOut | None = None, unsure: bool = False) -> Decided:  # fmt: skip
    """What the answers to a question on an item come to.

    Args:
        question: what was asked.
        answers: all that stand, at most one a person and role, in any order.
        wanted: how many people were to answer.
        default: for an optional question: who answered the item's required question and not this
            one counts as having answered `default.value`. An adjudicator who left it out says so
            only where the annotators decided nothing: she may have had another question to settle.
        unsure: somebody said on this item that she was not sure. Then only an adjudicator decides,
            or two answers or more that are all the same; else it is a tie.

    Of several adjudicators the latest decides. Ratings that are further apart stay undecided even
    if most are the same: 1, 5, 5 are not about the same thing.
    """
    above = [answer for answer in answers if answer.adjudicator]
    if above:
        return _adjudicated(above)
    found = _of_annotators(question, _with_default(answers, default), wanted, unsure)
    silent = [a for a in default.present if a.adjudicator] if default else []
    if default and silent and found.rule in UNDECIDED:
        return _adjudicated([answer._replace(value=default.value) for answer in silent])
    return found


def _adjudicated(answers: Sequence[Answer]) -> Decided:
    latest = max(answers, key=lambda answer: (answer.submitted_at, answer.annotator))
    return Decided(latest.value, Rule.ADJUDICATED, (latest.annotator,))


def _with_default(answers: Sequence[Answer], default: LeftOut | None) -> list[Answer]:
    """Annotators' answers, those that were left out filled in, earliest first."""
    given = {answer.annotator for answer in answers}
    filled = list(answers)
    if default:
        filled += [answer._replace(value=default.value) for answer in default.present
                   if not answer.adjudicator and answer.annotator not in given]  # fmt: skip
    return sorted(filled, key=lambda answer: (answer.submitted_at, answer.annotator))


def _of_annotators(question: Question, answers: Sequence[Answer], wanted: int,
                   unsure: bool) -> Decided:  # fmt: skip
    if not answers or len(answers) < wanted:
        return _undecided(Rule.TOO_FEW, answers)
    found = _DECIDERS[question.answering](answers)
    if len(answers) == 1:
        found = found._replace(rule=Rule.SINGLE)
    doubtful = unsure and found.rule is not Rule.UNANIMOUS and found.rule not in UNDECIDED
    return _undecided(Rule.TIE, answers) if doubtful else found


def _same(answers: Sequence[Answer], form: Callable[[str], str]) -> Decided:
    """The value of more than half: the earliest answer's own writing of it."""
    (most, count), *_ = Counter(form(answer.value) for answer in answers).most_common(1)
    if 2 * count <= len(answers):
        return _undecided(Rule.TIE, answers)
    ours = [answer for answer in answers if form(answer.value) == most]
    rule = Rule.UNANIMOUS if count == len(answers) else Rule.MAJORITY
    return Decided(ours[0].value, rule, _names(ours))


def _label(answers: Sequence[Answer]) -> Decided:
    return _same(answers, str)


def _text(answers: Sequence[Answer]) -> Decided:
    return _same(answers, folded)


def folded(text: str) -> str:
    """The form in which two texts are the same: NFC, nothing invisible, blanks as one space.

    Case and punctuation stay: they may be what a correction corrects.
    """
    return " ".join(normalise(text).split())


def _rating(answers: Sequence[Answer]) -> Decided:
    steps = sorted(int(answer.value) for answer in answers)
    apart = steps[-1] - steps[0]
    if apart > 1:
        return _undecided(Rule.SPREAD, answers)
    median = steps[(len(steps) - 1) // 2]
    return Decided(str(median), Rule.MEDIAN if apart else Rule.UNANIMOUS, _names(answers))


def _labels(answers: Sequence[Answer]) -> Decided:
    sets = [labels_of(answer.value) for answer in answers]
    votes = Counter(label for chosen in sets for label in chosen)
    if any(2 * count == len(sets) for count in votes.values()):
        return _undecided(Rule.TIE, answers)
    chosen = sorted(label for label, count in votes.items() if 2 * count > len(sets))
    rule = Rule.UNANIMOUS if len(set(sets)) == 1 else Rule.MAJORITY
    return Decided(canonical_json(chosen), rule, _names(answers))


_DECIDERS: dict[Answering, Callable[[Sequence[Answer]], Decided]] = {
    Answering.LABEL: _label,
    Answering.LABELS: _labels,
    Answering.RATING: _rating,
    Answering.TEXT: _text,
}


def _undecided(rule: Rule, answers: Sequence[Answer]) -> Decided:
    return Decided(None, rule, _names(answers))


def _names(answers: Sequence[Answer]) -> tuple[str, ...]:
    return tuple(sorted({answer.annotator for answer in answers}))
