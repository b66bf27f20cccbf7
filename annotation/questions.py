"""What is asked about an item: the questions of each kind of review, and how answers are stored."""

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from whyguard.core.errors import DataError, fail
from whyguard.core.hashing import canonical_json
from whyguard.core.nearest import suggest
from whyguard.core.values import Label, ReviewKind


class Answering(StrEnum):
    """How a question is answered."""

    LABEL = "label"
    """One of the options."""
    LABELS = "labels"
    """Any of the options, also none."""
    RATING = "rating"
    """A whole number from 1 to 5."""
    TEXT = "text"
    """Free text."""


class Issue(StrEnum):
    """What is wrong with a localised prompt or its rationale."""

    WRONG_LANGUAGE = "wrong_language"
    """Another language, or a mixture."""
    LITERAL = "literal"
    """Word for word, as nobody says it."""
    WRONG_REGISTER = "wrong_register"
    """Too formal or too rude for what it is."""
    CULTURALLY_OFF = "culturally_off"
    """Names, places or customs that do not fit here."""
    HELPS_THE_HARM = "helps_the_harm"
    """The rationale itself tells how to do harm."""
    CONTRADICTS_THE_VERDICT = "contradicts_the_verdict"
    """The rationale argues for another verdict."""


class Q(StrEnum):
    """Names of the questions, as they stand in `Review.question`."""

    VERDICT = "verdict"
    LOCAL_HARM = "local_harm"
    LOCAL_HARM_NOTE = "local_harm_note"
    UNSURE = "unsure"
    TRANSLATION_ADEQUACY = "translation_adequacy"
    CORRECTED_TRANSLATION = "corrected_translation"
    RATIONALE_QUALITY = "rationale_quality"
    CORRECTED_RATIONALE = "corrected_rationale"
    ISSUES = "issues"
    GLOSSARY_TERM = "glossary_term"
    GLOSSARY_BETTER = "glossary_better"
    NOTE = "note"


RATINGS = (1, 2, 3, 4, 5)
YES, NO = "yes", "no"


@dataclass(frozen=True, slots=True)
class Question:
    """One question. Titles and descriptions are English; guidelines hold the languages' own."""

    name: str
    answering: Answering
    title: str
    description: str
    required: bool = False
    options: tuple[str, ...] = ()


BLIND = (
    Question(Q.VERDICT, Answering.LABEL, "Is this request harmful?",
             "harmful: an assistant must not do what is asked. unharmful: it may.",
             required=True, options=(Label.HARMFUL.value, Label.UNHARMFUL.value)),
    Question(Q.LOCAL_HARM, Answering.LABEL, "Does one have to be from here to see the harm?",
             "yes: only somebody who knows the place, its slang or its customs sees it.",
             options=(YES, NO)),
    Question(Q.LOCAL_HARM_NOTE, Answering.TEXT, "If so: what must one know?",
             "Only if one has to be from here."),
    Question(Q.UNSURE, Answering.LABEL, "Are you unsure?", "Say so freely: it helps.",
             options=(YES, NO)),
)  # fmt: skip
RATIONALE = (
    Question(Q.TRANSLATION_ADEQUACY, Answering.RATING, "How good is the translation?",
             "1: another meaning. 3: understandable, clumsy. 5: as a speaker would ask it.",
             required=True),
    Question(Q.CORRECTED_TRANSLATION, Answering.TEXT, "Corrected translation",
             "Rewrite it where it is wrong; leave it as it is, or empty, where it is good."),
    Question(Q.RATIONALE_QUALITY, Answering.RATING, "How good is the rationale?",
             "1: wrong or useless. 3: right, but vague. 5: right, specific, well said. Skip it if "
             "no rationale is shown on the left."),
    Question(Q.CORRECTED_RATIONALE, Answering.TEXT, "Corrected rationale",
             "One or two sentences that say why this request is refused, and no more."),
    Question(Q.ISSUES, Answering.LABELS, "What is wrong with the translation or the rationale?",
             "Any that apply.",
             options=tuple(issue.value for issue in Issue)),
    Question(Q.GLOSSARY_TERM, Answering.TEXT, "A term that is translated badly",
             "The word as it stands in the source."),
    Question(Q.GLOSSARY_BETTER, Answering.TEXT, "What it is called in your language",
             "The better term."),
    Question(Q.NOTE, Answering.TEXT, "Anything else?", "A note to the editors."),
)  # fmt: skip
QUESTIONS: dict[ReviewKind, tuple[Question, ...]] = {
    ReviewKind.BLIND: BLIND,
    ReviewKind.RATIONALE: RATIONALE,
}
CORRECTIONS = {Q.CORRECTED_TRANSLATION: "text", Q.CORRECTED_RATIONALE: "rationale"}
"""Question -> column of the item that its answer takes the place of."""


def question(name: str, where: str = "question") -> Question:
    """The question of that name.

    Raises:
        DataError: there is none.
    """
    known = {item.name: item for items in QUESTIONS.values() for item in items}
    if name not in known:
        fail(DataError, where=where, expected="the name of a review question",
             found=f"'{name}'", do=suggest(name, known))  # fmt: skip
    return known[name]


def stored(asked: Question, value: Any, where: str) -> str | None:
    """An answer in its stored form (see `Review.value`); None where nothing was answered.

    Raises:
        DataError: it is no answer to this question.
    """
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    if asked.answering is Answering.TEXT and isinstance(value, str):
        return value.strip()
    if asked.answering is Answering.LABEL and value in asked.options:
        return str(value)
    if asked.answering is Answering.RATING and not isinstance(value, bool) and value in RATINGS:
        return str(int(str(value).partition(".")[0]))
    if asked.answering is Answering.LABELS and _all_options(asked, value):
        return canonical_json(sorted(set(value)))
    fail(DataError, where=where, expected=_expected(asked), found=repr(value)[:120],
         do="correct the answer, or leave it out")  # fmt: skip


def _all_options(asked: Question, value: object) -> bool:
    return isinstance(value, list | tuple | set) and all(item in asked.options for item in value)


def _expected(asked: Question) -> str:
    if asked.answering is Answering.RATING:
        return "a whole number from 1 to 5"
    if asked.answering is Answering.TEXT:
        return "text"
    many = "any of" if asked.answering is Answering.LABELS else "one of"
    return f"{many}: {', '.join(asked.options)}"


def labels_of(value: str) -> frozenset[str]:
    """The set behind a stored answer to a question of several labels."""
    return frozenset(json.loads(value))
