"""Step `generation.trace`: English reasoning for each English prompt."""

from pydantic import Field

from whyguard.core.errors import DataError
from whyguard.core.languages import ENGLISH
from whyguard.core.schemas import Prompt, Trace
from whyguard.core.steps import Estimate, Inputs, Room, Step, StepConfig, StepResult
from whyguard.core.tables import Row, drop, drops_frame, frame
from whyguard.curation.normalise import normalise
from whyguard.generation.calls.ask import Answered, ask, without_english
from whyguard.generation.grammar import parse_guard
from whyguard.generation.teachers.base import (
    Task,
    TeacherConfig,
    TeacherRuntime,
    cost_of,
    open_teacher,
)
from whyguard.generation.teachers.templates import fill

DEFAULT_TEMPLATE = "trace-1"


class TraceConfig(StepConfig):
    """Which teacher reasons, and about how many prompts."""

    teacher: TeacherConfig
    limit: int | None = Field(default=None, ge=1)
    """Only the first so many English prompts: for a trial of a teacher."""


def tasks_for(inputs: Inputs, config: TraceConfig) -> list[Task]:
    """One task a prompt and sample; messages are filled for teachers that read them."""
    asks = config.teacher.asks_a_model
    rows = [row for row in inputs["prompts"].rows.to_dicts() if row["language"] == ENGLISH]
    return [
        Task("trace", row["prompt_id"], row["family_id"], row["label"], tuple(row["categories"]),
             ENGLISH, sample, _messages(row, config) if asks else ())
        for row in rows[: config.limit]
        for sample in range(config.teacher.samples)
    ]  # fmt: skip


def _messages(row: Row, config: TraceConfig) -> tuple[tuple[str, str], ...]:
    return fill(config.teacher.template or DEFAULT_TEMPLATE, row["text"], ENGLISH, row["label"])


def run(inputs: Inputs, config: TraceConfig, runtime: TeacherRuntime, room: Room) -> StepResult:
    """Ask for every trace; an answer that is not of the grammar is dropped as `format`.

    `read` counts traces asked for and families without an English prompt.
    """
    tasks = tasks_for(inputs, config)
    teacher = open_teacher(config.teacher, runtime, room)
    answered = ask(teacher, tasks, config.teacher, room)
    rows: list[Row] = []
    drops = without_english(inputs["prompts"].rows.to_dicts())
    read = len(tasks) + len(drops)
    for item in answered:
        row, problem = _parsed(item, teacher.generator, config.teacher.seed)
        if row is None:
            name = f"{item.task.prompt_id}#{item.task.sample}"
            rule = "format" if item.answer.text is not None else "no_trace"
            drops.append(drop({"answer": item.answer.text}, name, rule, problem))
        else:
            rows.append(row)
    models = (teacher.use,) if teacher.use else ()
    return StepResult(frame(Trace, rows), drops_frame(drops), models, read=read)


def _parsed(item: Answered, generator: str, seed: int) -> tuple[Row | None, str]:
    text = item.answer.text
    if text is None:
        return None, item.answer.reason
    try:
        completion = parse_guard(text)
    except DataError as error:
        return None, ", ".join(line.strip() for line in str(error).split("\n")[1:3])
    if completion.think is None:
        return None, "no <think> segment"
    return {
        "prompt_id": item.task.prompt_id,
        "sample": item.task.sample,
        "text": text,
        "think": normalise(completion.think),
        "violations": list(completion.violations or ()),
        "verdict": completion.verdict.value,
        "generator": generator,
        "seed": seed if item.call_id else None,
        "logprob": item.answer.logprob,
        "tokens": item.answer.tokens,
        "call_id": item.call_id,
    }, ""


def estimate(inputs: Inputs, config: TraceConfig) -> Estimate:
    """Calls and generated tokens at most."""
    return cost_of(tasks_for(inputs, config), config.teacher)


TRACE = Step(
    name="generation.trace",
    version="2",
    summary="writing English traces",
    config=TraceConfig,
    inputs={"prompts": Prompt},
    output=Trace,
    run=run,
    runtime=TeacherRuntime,
    estimate=estimate,
)
