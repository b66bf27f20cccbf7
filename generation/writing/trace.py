"""Step `generation.trace`: samples of English reasoning for each English prompt."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from pydantic import Field, model_validator

from whyguard.core.errors import DataError
from whyguard.core.languages import ENGLISH
from whyguard.core.schemas import Prompt, Trace
from whyguard.core.steps import Estimate, Inputs, Room, Step, StepResult
from whyguard.core.tables import Row, drop, drops_frame, frame
from whyguard.curation.normalise import normalise
from whyguard.generation.calls.ask import Answered, ask, without_english
from whyguard.generation.grammar import GuardCompletion
from whyguard.generation.teachers.base import Task, TeacherRuntime, open_teacher
from whyguard.generation.teachers.templates import Messages
from whyguard.generation.writing.about import About
from whyguard.generation.writing.consistency import with_votes
from whyguard.generation.writing.copying import echoes
from whyguard.generation.writing.filters import prompts_by_label
from whyguard.generation.writing.forms import PREFILL, parse_trace, trace_schema
from whyguard.generation.writing.sieve import FINE, Sieved, Tally, bad
from whyguard.generation.writing.tasks import (
    WritingConfig,
    build_task,
    cost,
    english,
    light,
    messages_for,
)

TEMPLATES = {"tags": "trace-2", "json": "trace-json-1"}
_RULES = ("no_trace", "format", "echo")


class TraceConfig(WritingConfig):
    """Which teacher reasons, and about how many prompts."""

    limit: int | None = Field(default=None, ge=1)
    """Only the first so many English prompts: for a trial of a teacher."""
    prefill: bool = False
    """Begin the answer with `<think>`: helps small models to keep to the tags."""
    max_think: int = Field(default=700, ge=50)
    """Most characters of thinking, where the form is json; `teacher.max_new_tokens` must leave
    room for them and the rest (about 30 tokens)."""

    @model_validator(mode="after")
    def _prefill_of_tags(self) -> "TraceConfig":
        if self.prefill and self.teacher.form != "tags":
            raise ValueError("prefill only with the teacher's form 'tags': it begins with <think>")
        return self

    @model_validator(mode="after")
    def _reads_the_request(self) -> "TraceConfig":
        if self.teacher.kind == "template":
            raise ValueError("a teacher that reads the request: one of kind 'template' would write "
                             "its reasoning from the label")  # fmt: skip
        return self


class _Parsed(NamedTuple):
    """What an answer holds, or the rule it broke and how."""

    completion: GuardCompletion | None
    text: str = ""
    rule: str = ""
    reason: str = ""


def tasks_for(inputs: Inputs, config: TraceConfig) -> list[Task]:
    """One task a prompt and sample. The label is in no message: rejection is honest."""
    schema = trace_schema(config.max_think) if config.teacher.form == "json" else None
    return [
        build_task("trace", row, ENGLISH, messages, sample, schema)
        for row in english(inputs["prompts"].rows.to_dicts())[: config.limit]
        for messages in [_messages(row, config)]
        for sample in range(config.teacher.samples)
    ]


def _messages(row: Row, config: TraceConfig) -> Messages:
    messages = messages_for(config, TEMPLATES[config.teacher.form], row, ENGLISH)
    return (*messages, ("assistant", PREFILL)) if messages and config.prefill else messages


def run(inputs: Inputs, config: TraceConfig, runtime: TeacherRuntime, room: Room) -> StepResult:
    """Ask for every trace; what is not wholly of the form, or repeats the prompt, is dropped.

    `read` counts traces asked for and families without an English prompt.
    """
    tasks = tasks_for(inputs, config)
    teacher = open_teacher(config.teacher, runtime, room)
    answered = ask(teacher, tasks, config.teacher, runtime, room)
    prompts = inputs["prompts"].rows.to_dicts()
    done = _read(answered, config, prompts, teacher.generator)
    missing = without_english(prompts)
    models = (teacher.use,) if teacher.use else ()
    asked = [{"prompt_id": task.prompt_id} for task in tasks]
    notes = {"yield": done.yields, "prompts": prompts_by_label(asked, done.rows, About(prompts))}
    return StepResult(frame(Trace, with_votes(done.rows)), drops_frame([*missing, *done.drops]),
                      models, notes=notes, read=len(tasks) + len(missing))  # fmt: skip


def _read(answered: Sequence[Answered], config: TraceConfig, prompts: Sequence[Row],
          generator: str) -> Sieved:  # fmt: skip
    """Answers as rows of traces, or as drops."""
    texts = {row["prompt_id"]: row["text"] for row in prompts}
    tally = Tally(_RULES, [ENGLISH] if answered else [])
    rows: list[Row] = []
    drops: list[dict[str, str]] = []
    for item in answered:
        parsed = _parsed(item, config, texts[item.task.prompt_id])
        _note(tally, parsed)
        if parsed.completion is None:
            name = f"{item.task.prompt_id}#{item.task.sample}"
            drops.append(drop({"answer": item.answer.text}, name, parsed.rule, parsed.reason))
        else:
            rows.append(_row(item, parsed.text, parsed.completion, generator, config))
    return Sieved(rows, drops, tally.yields)


def _parsed(item: Answered, config: TraceConfig, prompt: str) -> _Parsed:
    if item.answer.text is None:
        return _Parsed(None, rule="no_trace", reason=item.answer.reason or "no answer")
    asks = config.teacher.asks_a_model
    text = (PREFILL if config.prefill and asks else "") + item.answer.text
    try:
        completion = parse_trace(text, config.teacher.form if asks else "tags")
    except DataError as error:
        reason = ", ".join(line.strip() for line in str(error).split("\n")[1:3])
        cut = " (cut at max_new_tokens)" if item.answer.finish == "length" else ""
        return _Parsed(None, rule="format", reason=reason + cut)
    if echoes(str(completion.think), prompt) or echoes(item.answer.text, prompt):
        return _Parsed(None, rule="echo", reason="the thinking repeats the prompt")
    return _Parsed(completion, text)


def _note(tally: Tally, parsed: _Parsed) -> None:
    """Count an answer at each rule up to the one it broke."""
    for rule in _RULES:
        tally.note(rule, ENGLISH, bad(parsed.reason) if rule == parsed.rule else FINE)
        if rule == parsed.rule:
            return


def _row(item: Answered, text: str, completion: GuardCompletion, generator: str,
         config: TraceConfig) -> Row:  # fmt: skip
    return {
        "prompt_id": item.task.prompt_id,
        "sample": item.task.sample,
        "text": text,
        "think": normalise(str(completion.think)),
        "violations": list(completion.violations or ()),
        "verdict": completion.verdict.value,
        "generator": generator,
        "seed": config.teacher.seed if item.call_id else None,
        "logprob": item.answer.logprob,
        "tokens": item.answer.tokens,
        "call_id": item.call_id,
    }


def estimate(
    inputs: Inputs, config: TraceConfig, runtime: TeacherRuntime, ledger: Path
) -> Estimate:
    """Calls, stored answers, tokens and money."""
    return cost(tasks_for(inputs, config), config, runtime, ledger)


TRACE = Step(
    name="generation.trace",
    version="3",
    summary="writing English traces",
    config=TraceConfig,
    inputs={"prompts": Prompt},
    output=Trace,
    run=run,
    runtime=TeacherRuntime,
    estimate=estimate,
    light=light,
)
