"""Teacher backends behind one protocol: tasks in, answers out, in order."""

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple, Protocol

from pydantic import Field, model_validator

from whyguard.core.artefact import ModelUse
from whyguard.core.refs import DataFile, ModelRef
from whyguard.core.steps import Estimate, Room, Runtime, StepConfig
from whyguard.generation.models import Precision

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
    """authored: the file that carries traces and rationales, in the starter pack's form."""
    source: str = "starter"
    """authored: the name of the source whose prompts the file speaks of."""
    model: ModelRef | None = None
    """transformers: a model reference."""
    model_name: str | None = None
    """openai: the model's name at the server."""
    template: str | None = None
    """Versioned file under generation/data/templates; None: the step's own."""
    max_new_tokens: int = Field(default=192, ge=1)
    temperature: float = Field(default=0.0, ge=0.0)
    """0 is greedy: with precision fp32 a rerun gives equal rows."""
    samples: int = Field(default=1, ge=1)
    """Traces of one prompt."""
    seed: int = Field(default=0, ge=0)
    precision: Precision = Precision.FP32
    """transformers: number format of the weights."""

    @model_validator(mode="after")
    def _complete(self) -> "TeacherConfig":
        needed = {"authored": "file", "transformers": "model", "openai": "model_name"}
        name = needed.get(self.kind)
        if name and not getattr(self, name):
            raise ValueError(f"'{name}' for a teacher of kind {self.kind}")
        return self

    @property
    def asks_a_model(self) -> bool:
        """Whether messages are sent, and the call ledger is used."""
        return self.kind in ("transformers", "openai")


class TeacherRuntime(Runtime):
    """How a teacher is reached: nothing here is meant to change what it says."""

    deadline_seconds: float = Field(default=120.0, gt=0)
    """A server's time for one try of one call."""
    tries: int = Field(default=4, ge=1)
    """Tries of one call, the first included; only passing failures are tried again."""
    backoff_seconds: float = Field(default=0.5, ge=0)
    """Wait before the second try; it doubles with each further one."""


def distinct(codes: tuple[str, ...]) -> tuple[str, ...]:
    """The codes of a config field, none named twice.

    Raises:
        ValueError: one is (pydantic makes it an error of the recipe).
    """
    twice = [code for n, code in enumerate(codes) if code in codes[:n]]
    if twice:
        raise ValueError(f"languages named once each, not '{twice[0]}' twice")
    return codes


def cost_of(tasks: Sequence[Task], config: TeacherConfig) -> Estimate:
    """Calls and generated tokens that these tasks take at most; none where no model is asked."""
    calls = len(tasks) if config.asks_a_model else 0
    return Estimate(calls, calls * config.max_new_tokens)


def open_teacher(config: TeacherConfig, runtime: TeacherRuntime, room: Room) -> Teacher:
    """Build the teacher of a config.

    Raises:
        ConfigError: the runtime lacks what the kind needs.
        DataError, MissingFileError: the file or the model cannot be used.
    """
    from whyguard.generation.teachers.authored import AuthoredTeacher, TemplateTeacher

    if config.kind == "authored":
        return AuthoredTeacher(config)
    if config.kind == "template":
        return TemplateTeacher()
    if config.kind == "transformers":
        from whyguard.generation.teachers.local import LocalTeacher

        return LocalTeacher(config, runtime, room.progress)
    from whyguard.generation.teachers.server import ServerTeacher

    return ServerTeacher(config, runtime)
