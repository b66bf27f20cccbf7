"""Step `generation.explain`: a rationale for each harmful prompt, in the teacher's languages."""

from pydantic import Field, field_validator

from whyguard.core.languages import ENGLISH, LanguageCode
from whyguard.core.schemas import Explanation, Prompt
from whyguard.core.steps import Estimate, Inputs, Room, Step, StepConfig, StepResult
from whyguard.core.tables import Row, drop, drops_frame, frame
from whyguard.core.values import Label
from whyguard.curation.normalise import is_blank, normalise
from whyguard.generation.calls.ask import ask, without_english
from whyguard.generation.teachers.base import (
    Task,
    TeacherConfig,
    TeacherRuntime,
    cost_of,
    distinct,
    open_teacher,
)
from whyguard.generation.teachers.templates import fill

DEFAULT_TEMPLATE = "explanation-1"


class ExplainConfig(StepConfig):
    """Which teacher explains, and in which languages."""

    teacher: TeacherConfig
    languages: tuple[LanguageCode, ...] = Field(default=(ENGLISH,), min_length=1)

    @field_validator("languages")
    @classmethod
    def _once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return distinct(value)


def tasks_for(inputs: Inputs, config: ExplainConfig) -> list[Task]:
    """One task a harmful English prompt and language."""
    asks = config.teacher.asks_a_model
    rows = [row for row in _harmful(inputs) if row["language"] == ENGLISH]
    return [
        Task("explanation", row["prompt_id"], row["family_id"], row["label"],
             tuple(row["categories"]), language, 0,
             _messages(row, language, config) if asks else ())
        for row in rows
        for language in config.languages
    ]  # fmt: skip


def _harmful(inputs: Inputs) -> list[Row]:
    rows = inputs["prompts"].rows.to_dicts()
    return [row for row in rows if row["label"] == Label.HARMFUL]


def _messages(row: Row, language: str, config: ExplainConfig) -> tuple[tuple[str, str], ...]:
    return fill(config.teacher.template or DEFAULT_TEMPLATE, row["text"], language, row["label"])


def run(inputs: Inputs, config: ExplainConfig, runtime: TeacherRuntime, room: Room) -> StepResult:
    """Ask for every rationale; a prompt without one is dropped as `no_explanation`.

    `read` counts rationales asked for and harmful families without an English prompt.
    """
    tasks = tasks_for(inputs, config)
    teacher = open_teacher(config.teacher, runtime, room)
    rows: list[Row] = []
    drops = without_english(_harmful(inputs))
    read = len(tasks) + len(drops)
    for task, answer, _ in ask(teacher, tasks, config.teacher, room):
        text = normalise(answer.text or "")
        named = {"prompt_id": task.prompt_id, "language": task.language}
        if is_blank(text):
            name = f"{task.prompt_id}:{task.language}"
            reason = answer.reason or "an empty answer"
            drops.append(drop(named | {"answer": answer.text}, name, "no_explanation", reason))
        else:
            rows.append(named | {"text": text, "generator": teacher.generator, "signals": []})
    models = (teacher.use,) if teacher.use else ()
    return StepResult(frame(Explanation, rows), drops_frame(drops), models, read=read)


def estimate(inputs: Inputs, config: ExplainConfig) -> Estimate:
    """Calls and generated tokens at most."""
    return cost_of(tasks_for(inputs, config), config.teacher)


EXPLAIN = Step(
    name="generation.explain",
    version="2",
    summary="writing explanations",
    config=ExplainConfig,
    inputs={"prompts": Prompt},
    output=Explanation,
    run=run,
    runtime=TeacherRuntime,
    estimate=estimate,
)
