"""Teacher backends behind one protocol: tasks in, answers out, in order."""

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple, Protocol

from pydantic import Field

from whyguard.core.artefact import ModelUse
from whyguard.core.refs import DataFile, ModelRef
from whyguard.core.steps import Room, Runtime, StepConfig

TaskKind = Literal["trace", "explanation"]


class Task(NamedTuple):
    """One thing to be written: for which prompt, in which language, and the messages to send."""

    kind: TaskKind
    prompt_id: str
    family_id: str
    label: str
    categories: tuple[str, ...]
    language: str
    sample: int
    messages: tuple[tuple[str, str], ...]
    """(role, content) pairs; empty for teachers that do not read messages."""


class Answer(NamedTuple):
    """What a teacher wrote; `text` is None where it had nothing, `reason` then says why."""

    text: str | None
    reason: str = ""
    tokens: int | None = None
    logprob: float | None = None


class Teacher(Protocol):
    """Writes traces and explanations."""

    generator: str
    """Recorded on each row."""
    use: ModelUse | None
    """The model behind it, for the manifest."""
    needs_messages: bool
    batch: int | None
    """Tasks are answered in fixed batches of this size (padding leaks into sampled text); None:
    one by one, in any order."""

    def answer(self, tasks: Sequence[Task]) -> Iterator[tuple[Task, Answer]]:
        """Answer every task once; answers may come in any order."""
        ...


class TeacherConfig(StepConfig):
    """Which teacher writes, and what shapes its text (all of it is part of the key)."""

    kind: Literal["authored", "template", "transformers", "openai"]
    file: DataFile | None = None
    """authored: the file that carries traces and rationales."""
    model: ModelRef | None = None
    """transformers: a model reference."""
    model_name: str | None = None
    """openai: the model's name at the server."""
    template: str = "trace-1"
    """Versioned file under generation/data/templates."""
    max_new_tokens: int = Field(default=192, ge=1)
    temperature: float = Field(default=0.0, ge=0.0)
    """0 is greedy: with precision fp32 a rerun gives equal rows."""
    samples: int = Field(default=1, ge=1)
    seed: int = 0
    precision: Literal["fp32", "bf16"] = "fp32"


def open_teacher(config: TeacherConfig, runtime: Runtime, room: Room) -> Teacher:
    """Build the teacher of a config.

    Raises:
        ConfigError: a field that the kind needs is missing.
    """
    from whyguard.generation.authored import AuthoredTeacher, TemplateTeacher

    if config.kind == "authored":
        return AuthoredTeacher(config)
    if config.kind == "template":
        return TemplateTeacher()
    if config.kind == "transformers":
        from whyguard.generation.local_teacher import LocalTeacher

        return LocalTeacher(config, runtime, room)
    from whyguard.generation.server_teacher import ServerTeacher

    return ServerTeacher(config, runtime, room)
