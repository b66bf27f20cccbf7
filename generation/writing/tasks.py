"""What traces, explanations and replies share: their config's root, tasks, and costs."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from whyguard.core.languages import ENGLISH
from whyguard.core.steps import Estimate, StepConfig
from whyguard.core.tables import Row
from whyguard.generation.calls.ask import estimate as estimate_calls
from whyguard.generation.teachers.base import Task, TaskKind, TeacherConfig, TeacherRuntime
from whyguard.generation.teachers.templates import Messages, fill


class WritingConfig(StepConfig):
    """Which teacher writes."""

    teacher: TeacherConfig


def light(config: WritingConfig) -> bool:
    """Whether no model is asked (`Step.light`)."""
    return not config.teacher.asks_a_model


def english(rows: Sequence[Row], label: str | None = None) -> list[Row]:
    """The English prompts, which teachers are asked about; those of one label, if it is given."""
    return [row for row in rows
            if row["language"] == ENGLISH and label in (None, row["label"])]  # fmt: skip


def build_task(kind: TaskKind, row: Row, language: str, messages: Messages = (), sample: int = 0,
               schema: str | None = None) -> Task:  # fmt: skip
    """One task about a prompt's row."""
    return Task(kind, row["prompt_id"], row["family_id"], row["label"], tuple(row["categories"]),
                language, sample, messages, schema)  # fmt: skip


def messages_for(config: WritingConfig, template: str, row: Row, language: str,
                 label: str | None = None, data: Mapping[str, str] | None = None
                 ) -> Messages:  # fmt: skip
    """What a model is asked about a prompt; nothing for a teacher that reads no messages.

    `template` is the step's own one, which the teacher's config may replace. `label` is given only
    where the teacher may know it.

    Raises:
        ConfigError: see `templates.fill`.
    """
    if not config.teacher.asks_a_model:
        return ()
    return fill(config.teacher.template or template, row["text"], language, label, data)


def cost(tasks: Sequence[Task], config: WritingConfig, runtime: TeacherRuntime, ledger: Path
         ) -> Estimate:  # fmt: skip
    """What asking for these tasks would take."""
    if not config.teacher.asks_a_model:
        return Estimate()
    return estimate_calls(tasks, config.teacher, runtime, ledger)
