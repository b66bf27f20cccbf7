"""Step `generation.reply`: what an assistant answers, a refusal or help, by the prompt's label."""

from collections.abc import Sequence
from pathlib import Path

from whyguard.core.schemas import Prompt, Reply
from whyguard.core.steps import Estimate, Inputs, Room, Step, StepResult
from whyguard.core.tables import Row, drops_frame, frame
from whyguard.core.values import Label, ReplyKind
from whyguard.generation.calls.ask import Answered, ask, without_english
from whyguard.generation.teachers.base import (
    Answer,
    Task,
    TaskKind,
    Teacher,
    TeacherRuntime,
    open_teacher,
)
from whyguard.generation.teachers.templates import Messages
from whyguard.generation.writing.local_texts import LocalTextsConfig, gathered
from whyguard.generation.writing.tasks import build_task, cost, english, light, messages_for

KINDS: dict[str, tuple[TaskKind, ReplyKind, str]] = {
    Label.HARMFUL.value: ("refusal", ReplyKind.REFUSAL, "refusal-1"),
    Label.UNHARMFUL.value: ("answer", ReplyKind.HELPFUL, "answer-1"),
}
"""Label -> what is asked for, what it becomes, and the template that asks."""


class ReplyConfig(LocalTextsConfig):
    """Which teacher replies, in which languages, and to which prompts."""

    kinds: tuple[ReplyKind, ...] = (ReplyKind.REFUSAL, ReplyKind.HELPFUL)
    """A teacher of kind `template` has refusals only: the fixed sentences of language packs."""


def tasks_for(inputs: Inputs, config: ReplyConfig) -> list[Task]:
    """One task an English prompt and language, for the kinds that are wanted."""
    rows = [row for row in english(inputs["prompts"].rows.to_dicts())
            if KINDS[row["label"]][1] in config.kinds]  # fmt: skip
    return [build_task(KINDS[row["label"]][0], row, language, _messages(row, language, config))
            for row in rows[: config.limit] for language in config.languages]  # fmt: skip


def _messages(row: Row, language: str, config: ReplyConfig) -> Messages:
    return messages_for(config, KINDS[row["label"]][2], row, language)


def run(inputs: Inputs, config: ReplyConfig, runtime: TeacherRuntime, room: Room) -> StepResult:
    """Ask for every reply; a prompt without one is dropped as `no_reply`.

    `read` counts replies wanted and families without an English prompt.
    """
    tasks = tasks_for(inputs, config)
    teacher = open_teacher(config.teacher, runtime, room)
    missing = without_english([row for row in inputs["prompts"].rows.to_dicts()
                               if KINDS[row["label"]][1] in config.kinds])  # fmt: skip

    def build(task: Task, text: str) -> Row:
        return {"prompt_id": task.prompt_id, "language": task.language,
                "kind": KINDS[task.label][1].value, "text": text,
                "generator": teacher.generator, "signals": []}  # fmt: skip

    done = gathered(_answered(teacher, tasks, config, runtime, room), "no_reply", build)
    models = (teacher.use,) if teacher.use else ()
    return StepResult(frame(Reply, done.rows), drops_frame([*missing, *done.drops]), models,
                      notes={"yield": done.yields}, read=len(tasks) + len(missing))  # fmt: skip


def _answered(teacher: Teacher, tasks: Sequence[Task], config: ReplyConfig,
              runtime: TeacherRuntime, room: Room) -> list[Answered]:  # fmt: skip
    if config.teacher.kind == "template":
        return [Answered(task, worded(task), None) for task in tasks]
    return ask(teacher, tasks, config.teacher, runtime, room)


def worded(task: Task) -> Answer:
    """The language pack's refusal for a prompt, the same in every run."""
    from whyguard.generation.packs.wording import refusal

    if task.kind != "refusal":
        return Answer(None, "no fixed sentence answers a harmless prompt")
    text = refusal(task.language, task.family_id)
    return Answer(text, "" if text else f"no refusal wording in {task.language}")


def estimate(
    inputs: Inputs, config: ReplyConfig, runtime: TeacherRuntime, ledger: Path
) -> Estimate:
    """Calls, stored answers, tokens and money."""
    return cost(tasks_for(inputs, config), config, runtime, ledger)


REPLY = Step(
    name="generation.reply",
    version="1",
    summary="writing replies",
    config=ReplyConfig,
    inputs={"prompts": Prompt},
    output=Reply,
    run=run,
    runtime=TeacherRuntime,
    estimate=estimate,
    light=light,
)
