"""What explanations and replies share: a text in a language for each task, or a drop."""

from collections.abc import Callable, Sequence
from typing import Any

from pydantic import Field, field_validator, model_validator

from whyguard.core.languages import ENGLISH, LanguageCode
from whyguard.core.tables import Row, drop
from whyguard.curation.normalise import is_blank, normalise
from whyguard.generation.calls.ask import Answered
from whyguard.generation.teachers.base import Task, distinct
from whyguard.generation.writing.forms import storable
from whyguard.generation.writing.sieve import Finding, Sieved, Tally, bad, expect
from whyguard.generation.writing.tasks import WritingConfig


class LocalTextsConfig(WritingConfig):
    """Which teacher writes, and in which languages."""

    languages: tuple[LanguageCode, ...] = Field(default=(ENGLISH,), min_length=1)
    """Written directly in each; or English alone, to be translated by a later step."""
    limit: int | None = Field(default=None, ge=1)
    """Only the first so many English prompts of those wanted: for a trial of a teacher."""

    @field_validator("languages")
    @classmethod
    def _once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return distinct(value)

    @model_validator(mode="after")
    def _plain_text(self) -> Any:
        if self.teacher.form != "tags":
            raise ValueError("the teacher's form 'tags': here plain text is asked for, no JSON")
        return self


def named(task: Task) -> str:
    """A task's name in drops."""
    return f"{task.prompt_id}:{task.language}"


def gathered(answered: Sequence[Answered], rule: str, build: Callable[[Task, str], Row]) -> Sieved:
    """A row for each answer with visible text; a drop of that rule for each other one."""
    tally = Tally([rule], [item.task.language for item in answered])
    rows: list[Row] = []
    drops: list[dict[str, str]] = []
    for item in answered:
        text = normalise(item.answer.text or "")
        finding = _usable(text, item.answer.reason)
        tally.note(rule, item.task.language, finding)
        if finding.problem is None:
            rows.append(build(item.task, text))
        else:
            facts = {"prompt_id": item.task.prompt_id, "language": item.task.language,
                     "answer": item.answer.text}  # fmt: skip
            drops.append(drop(facts, named(item.task), rule, finding.problem))
    return Sieved(rows, drops, tally.yields)


def _usable(text: str, reason: str) -> Finding:
    """Visible text that a table can hold."""
    if not storable(text):
        return bad("half of a character (a lone surrogate)")
    return expect(not is_blank(text), reason or "an empty answer")
