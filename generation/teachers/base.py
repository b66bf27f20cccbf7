"""Teacher backends behind one protocol: tasks in, answers out."""

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple, Protocol, runtime_checkable

from pydantic import BaseModel, ConfigDict, Field, model_validator

from whyguard.core.artefact import ModelUse
from whyguard.core.refs import DataFile, ModelRef
from whyguard.core.steps import Room, Runtime, StepConfig
from whyguard.generation.models import Precision

TaskKind = Literal["trace", "explanation", "refusal", "answer", "translation", "verdict"]


class Task(NamedTuple):
    """One thing to be written: for which prompt, in which language, and the messages to send.

    Of a task, `messages`, `sample` and `schema` shape the answer and are part of the call's key.
    """

    kind: TaskKind
    prompt_id: str
    family_id: str
    label: str
    categories: tuple[str, ...]
    language: str
    sample: int
    messages: tuple[tuple[str, str], ...]
    """(role, content) pairs; empty for teachers that do not read messages. A last message of the
    role `assistant` is a prefix that the answer continues (and does not repeat)."""
    schema: str | None = None
    """JSON schema that the answer must follow, its keys in the order in which they are to be
    written; None: free text."""


class Answer(NamedTuple):
    """What a teacher wrote; `text` is None where it had nothing, `reason` then says why."""

    text: str | None
    reason: str = ""
    tokens: int | None = None
    """Generated tokens."""
    logprob: float | None = None
    """Summed natural log-probability of the tokens that spell the verdict, where there is one and
    the backend measures it: before temperature; under a schema vLLM counts only the tokens that the
    schema leaves, transformers all."""
    prompt_tokens: int | None = None
    finish: str | None = None
    """Why generation ended: stop, length."""


class Teacher(Protocol):
    """Writes traces, explanations, replies, translations or verdicts."""

    generator: str
    """Recorded on each row."""
    use: ModelUse | None
    """The model behind it, for the manifest."""


@runtime_checkable
class DirectTeacher(Teacher, Protocol):
    """Asks no model: nothing is paid for, no ledger is kept."""

    def answer(self, tasks: Sequence[Task]) -> Iterator[tuple[Task, Answer]]:
        """Answer every task once, in any order."""
        ...


@runtime_checkable
class BatchTeacher(Teacher, Protocol):
    """A model in this process: batches are asked one after the other."""

    identity: tuple[str, ...]
    """What of the model shapes its answers (weights, tokenizer, chat template): part of the key."""

    def batches(self, tasks: Sequence[Task]) -> list[list[Task]]:
        """The tasks in the batches they are to be asked in."""
        ...

    def answer_batch(self, tasks: Sequence[Task]) -> list[Answer]:
        """One answer a task, in order."""
        ...


@runtime_checkable
class CallTeacher(Teacher, Protocol):
    """A server: calls run side by side; `call` is one try of one call."""

    identity: tuple[str, ...]

    async def open(self) -> None:
        """Connect, and check that the server can do what the config asks for.

        Raises:
            TeacherError: it cannot.
        """
        ...

    async def call(self, task: Task) -> Answer:
        """One try.

        Raises:
            CallError: no answer came; it says why, and whether to try again.
        """
        ...

    async def close(self) -> None:
        """Disconnect."""
        ...


class TeacherConfig(StepConfig):
    """Which teacher writes, and what shapes its text (all of it is part of the key)."""

    kind: Literal["authored", "template", "transformers", "openai", "vllm"]
    file: DataFile | None = None
    """authored: the file that carries traces and rationales, in the starter pack's form."""
    source: str = "starter"
    """authored: the name of the source whose prompts the file speaks of."""
    model: ModelRef | None = None
    """transformers, vllm: a model reference."""
    model_name: str | None = None
    """openai: the model's name at the server."""
    model_revision: str = ""
    """openai: what is known of the version that the server serves."""
    template: str | None = None
    """Versioned file under generation/data/templates; None: the step's own."""
    form: Literal["tags", "json"] = "tags"
    """What is asked for: the completion grammar in free text, or JSON held to a schema by the
    server's or the backend's structured outputs."""
    max_new_tokens: int = Field(default=192, ge=1)
    temperature: float = Field(default=0.0, ge=0.0)
    """0 is greedy: with precision fp32 a rerun gives equal rows."""
    top_p: float = Field(default=1.0, gt=0.0, le=1.0)
    samples: int = Field(default=1, ge=1)
    """Answers to one prompt; more than one need a temperature."""
    seed: int = Field(default=0, ge=0)
    logprobs: bool = False
    """Measure the verdict's log-probability."""
    precision: Precision = Precision.FP32
    """transformers, vllm: number format of the weights (a server's own is not known here)."""

    @model_validator(mode="after")
    def _complete(self) -> "TeacherConfig":
        needed = {"authored": "file", "transformers": "model", "openai": "model_name",
                  "vllm": "model"}  # fmt: skip
        name = needed.get(self.kind)
        if name and not getattr(self, name):
            raise ValueError(f"'{name}' for a teacher of kind {self.kind}")
        if self.samples > 1 and self.asks_a_model and self.temperature == 0.0:
            raise ValueError("a temperature above 0 for more than one sample: greedy samples are "
                             "all the same")  # fmt: skip
        return self

    @property
    def asks_a_model(self) -> bool:
        """Whether messages are sent, and the call ledger is used."""
        return self.kind in ("transformers", "openai", "vllm")


class Prices(BaseModel):
    """What a server charges, in `currency` a million tokens."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prompt: float = Field(ge=0)
    completion: float = Field(ge=0)
    currency: str = "USD"

    def cost(self, prompt_tokens: int, completion_tokens: int) -> float:
        """Money for so many tokens."""
        return (prompt_tokens * self.prompt + completion_tokens * self.completion) / 1e6


class TeacherRuntime(Runtime):
    """How a teacher is reached: nothing here is meant to change what it says."""

    deadline_seconds: float = Field(default=120.0, gt=0)
    """A server's time for one try of one call."""
    tries: int = Field(default=6, ge=1)
    """Tries of one call, the first included; only passing failures are tried again."""
    backoff_seconds: float = Field(default=0.5, ge=0)
    """Wait before the second try; it doubles with each further one, up to `longest_wait_seconds`,
    and is drawn between half and one and a half times that."""
    longest_wait_seconds: float = Field(default=60.0, ge=0)
    requests_per_minute: float | None = Field(default=None, gt=0)
    tokens_per_minute: float | None = Field(default=None, gt=0)
    prices: Prices | None = None
    resume: Literal["always", "never"] = "always"
    """always: stored answers are used; never: everything is asked anew (what was stored is kept
    beside it), again in a run that is started after a kill. A step whose result is stored is reused
    either way."""


def distinct(codes: tuple[str, ...]) -> tuple[str, ...]:
    """The codes of a config field, none named twice.

    Raises:
        ValueError: one is (pydantic makes it an error of the recipe).
    """
    twice = [code for n, code in enumerate(codes) if code in codes[:n]]
    if twice:
        raise ValueError(f"languages named once each, not '{twice[0]}' twice")
    return codes


def open_teacher(config: TeacherConfig, runtime: TeacherRuntime, room: Room) -> Teacher:
    """Build the teacher of a config; no model is loaded and no server asked yet.

    Raises:
        ConfigError: the runtime lacks what the kind needs.
        DataError, MissingFileError: the file or the model cannot be used.
    """
    if config.kind == "authored":
        from whyguard.generation.teachers.authored import AuthoredTeacher

        return AuthoredTeacher(config)
    if config.kind == "template":
        from whyguard.generation.teachers.authored import TemplateTeacher

        return TemplateTeacher()
    if config.kind == "transformers":
        from whyguard.generation.teachers.local import LocalTeacher

        return LocalTeacher(config, runtime, room.progress)
    if config.kind == "vllm":
        from whyguard.generation.teachers.vllm import VllmTeacher

        return VllmTeacher(config, runtime, room.progress)
    from whyguard.generation.teachers.server import ServerTeacher

    return ServerTeacher(config, runtime)
