"""Step `generation.explain`: a rationale for each harmful prompt, in the teacher's languages."""

from pydantic import Field

from whyguard.core.languages import ENGLISH
from whyguard.core.schemas import Explanation, Prompt
from whyguard.core.steps import Estimate, Inputs, Room, Runtime, Step, StepConfig, StepResult
from whyguard.core.tables import Row, drop, drops_frame, frame
from whyguard.core.values import Label
from whyguard.generation.calls import ask
from whyguard.generation.teachers import Task, TeacherConfig, open_teacher
from whyguard.generation.templates import fill


class ExplainConfig(StepConfig):
    """Which teacher explains, and in which languages."""

    teacher: TeacherConfig
    languages: tuple[str, ...] = Field(default=(ENGLISH,), min_length=1)


def tasks_for(inputs: Inputs, config: ExplainConfig) -> list[Task]:
    """One task a harmful English prompt and language."""
    asks = config.teacher.kind in ("transformers", "openai")
    rows = [
        row
        for row in inputs["prompts"].rows.to_dicts()
        if row["language"] == ENGLISH and row["label"] == Label.HARMFUL
    ]
    return [
        Task("explanation", row["prompt_id"], row["family_id"], row["label"],
             tuple(row["categories"]), language, 0,
             _messages(row, language, config) if asks else ())
        for row in rows
        for language in config.languages
    ]  # fmt: skip


def _messages(row: Row, language: str, config: ExplainConfig) -> tuple[tuple[str, str], ...]:
    return fill(config.teacher.template, row["text"], language, row["label"])


def run(inputs: Inputs, config: ExplainConfig, runtime: Runtime, room: Room) -> StepResult:
    """Ask for every rationale; a prompt without one is dropped as `no_explanation`."""
    teacher = open_teacher(config.teacher, runtime, room)
    tasks = tasks_for(inputs, config)
    rows, drops = [], []
    for task, answer, _ in ask(teacher, tasks, config.teacher, room):
        if answer.text is None or not answer.text.strip():
            name = f"{task.prompt_id}:{task.language}"
            drops.append(drop(task._asdict(), name, "no_explanation", answer.reason or "empty"))
            continue
        rows.append({"prompt_id": task.prompt_id, "language": task.language,
                     "text": answer.text.strip(), "generator": teacher.generator,
                     "signals": []})  # fmt: skip
    models = (teacher.use,) if teacher.use else ()
    return StepResult(frame(Explanation, rows), drops_frame(drops), models, read=len(tasks))


def estimate(inputs: Inputs, config: ExplainConfig) -> Estimate:
    """Calls and generated tokens at most."""
    tasks = tasks_for(inputs, config)
    calls = len(tasks) if config.teacher.kind in ("transformers", "openai") else 0
    return Estimate(calls, calls * config.teacher.max_new_tokens)


EXPLAIN = Step(
    name="generation.explain",
    version="1",
    summary="writing explanations",
    config=ExplainConfig,
    inputs={"prompts": Prompt},
    output=Explanation,
    run=run,
    estimate=estimate,
)
