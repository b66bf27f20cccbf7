"""A step: a pure function (rows, config, runtime) -> (rows, drops), with a content key."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from whyguard.core.artefact import Artefact, ModelUse
from whyguard.core.hashing import sha256_json
from whyguard.core.progress import Progress
from whyguard.core.tables import SchemaType, drops_frame, schema_sha256

LINEAGE = "lineage"
"""Name under which the manifest of a step with `Step.lineage` lists all steps before it."""


class StepConfig(BaseModel):
    """What is meant to change the data: part of the key. Unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Runtime(BaseModel):
    """What is not meant to change the data: recorded, never part of the key."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    device: str = "auto"
    """auto, cpu, cuda, cuda:1, mps."""
    threads: int | None = None
    """CPU threads of the numeric libraries; None leaves their default."""
    batch_size: int = Field(default=16, ge=1)
    """Rows a model sees at once."""
    base_url: str | None = None
    """Address of an OpenAI-compatible server."""
    api_key_env: str = "OPENAI_API_KEY"
    """Name of the environment variable that holds the server's key."""
    concurrency: int = Field(default=16, ge=1)
    """Requests under way at once."""


class Input:
    """A named input of a step: one or more artefacts of one schema."""

    def __init__(self, artefacts: tuple[Artefact, ...]) -> None:
        self.artefacts = artefacts

    @property
    def rows(self) -> pl.DataFrame:
        """All artefacts' rows, in order."""
        return pl.concat([artefact.rows() for artefact in self.artefacts])

    @property
    def first(self) -> Artefact:
        """The first artefact: for steps that take a model or a single table."""
        return self.artefacts[0]


Inputs = Mapping[str, Input]


class Budget(BaseModel):
    """What a recipe may spend on model calls, over all its runs in one workspace; a hard stop."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    calls: int | None = Field(default=None, ge=0)
    """Requests sent, failed ones included."""
    tokens: int | None = Field(default=None, ge=0)
    """Prompt and generated tokens."""
    money: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    """In the currency of the teachers' prices."""


class Room(NamedTuple):
    """Where a running step may write, and how it tells how far it is."""

    files: Path
    """Extra files of the artefact (hashed into the manifest)."""
    scratch: Path
    """Durable between tries of the same key: plans and checkpoints live here."""
    progress: Progress
    ledger: Path
    """Folder of the call ledger, which all steps, recipes and processes of a workspace share."""
    account: str = ""
    """Name of the recipe that pays."""
    budget: Budget = Budget()


class StepResult(NamedTuple):
    """What a step hands back; everything but rows and drops is recorded in the manifest."""

    rows: pl.DataFrame
    drops: pl.DataFrame = drops_frame()
    models: tuple[ModelUse, ...] = ()
    licences: tuple[str, ...] = ()
    notes: dict[str, Any] = {}  # noqa: RUF012 - never mutated
    read: int | None = None


class Published(NamedTuple):
    """Something for people that a step laid outside the store."""

    what: str
    path: Path
    note: str = ""


@dataclass(frozen=True, slots=True)
class Workspace:
    """Where a run keeps things: the store, dataset versions, reports and models."""

    root: Path

    @property
    def store(self) -> Path:
        """Content-keyed artefacts."""
        return self.root / "store"

    @property
    def scratch(self) -> Path:
        """Plans and checkpoints of unfinished steps."""
        return self.root / "scratch"

    @property
    def ledger(self) -> Path:
        """The call ledger."""
        return self.root / "ledger"

    @property
    def datasets(self) -> Path:
        """Published dataset versions."""
        return self.root / "datasets"

    @property
    def reports(self) -> Path:
        """Published reports."""
        return self.root / "reports"

    @property
    def review(self) -> Path:
        """What people were asked and what they answered, a folder a campaign."""
        return self.root / "review"

    @property
    def models(self) -> Path:
        """Published models."""
        return self.root / "models"


C = TypeVar("C", bound=StepConfig)
R = TypeVar("R", bound=Runtime)


class Estimate(NamedTuple):
    """What a step would ask of models, before anything is spent."""

    calls: int = 0
    """Calls to make: an upper bound."""
    cached: int = 0
    """Answers that are stored already, and would be used."""
    prompt_tokens: int = 0
    """Tokens of the prompts of `calls`: a guess from their length."""
    completion_tokens: int = 0
    """Tokens that `calls` may generate: an upper bound."""
    money: float | None = None
    """What that costs; None where no prices are given."""
    currency: str = ""


def total(estimates: Iterable[Estimate | None]) -> Estimate:
    """The sum; money of one currency only adds up."""
    known = [item for item in estimates if item is not None]
    priced = [item for item in known if item.money is not None]
    currencies = sorted({item.currency for item in priced})
    money = sum(item.money or 0.0 for item in priced) if len(currencies) == 1 else None
    return Estimate(sum(item.calls for item in known), sum(item.cached for item in known),
                    sum(item.prompt_tokens for item in known),
                    sum(item.completion_tokens for item in known), money,
                    currencies[0] if money is not None else "")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Step(Generic[C, R]):
    """The declaration of a step. `version` changes whenever its results could change."""

    name: str
    version: str
    summary: str
    config: type[C]
    inputs: Mapping[str, SchemaType]
    output: SchemaType
    run: Callable[[Inputs, C, R, Room], StepResult]
    runtime: type[R] = field(default=Runtime)  # type: ignore[assignment]
    optional: frozenset[str] = frozenset()
    """Names of inputs that may be left out."""
    publish: Callable[[Artefact, C, Workspace], tuple[Published, ...]] | None = None
    """Lays results out for people; idempotent, called after a run and after a reuse."""
    estimate: Callable[[Inputs, C, R, Path], Estimate] | None = None
    """(inputs, config, runtime, ledger folder) -> cost; opens no model and asks no server."""
    estimate_from: frozenset[str] | None = None
    """Inputs that are enough for an estimate (the others may be missing); None: all of them."""
    light: Callable[[C], bool] | None = None
    """Whether it neither asks a model nor trains one: `plan` runs such a step, to count on."""
    lineage: bool = False
    """Whether the result tells of all steps before it: their keys and drops are then part of its
    key, and its manifest names them as the input `LINEAGE` (which `run` is not given)."""


def always(config: StepConfig) -> bool:
    """`Step.light` of steps that never ask a model nor train one."""
    return True


def step_key(step: Step[Any, Any], config: Mapping[str, Any],
             inputs: Mapping[str, tuple[str, ...]],
             lineage: Iterable[tuple[str, str, str]] = ()) -> str:  # fmt: skip
    """Content key of a step's result.

    `config` holds content hashes in place of paths (see `refs.keyed_config`); `inputs` maps each
    input's name to the content hashes of its artefacts, in order. `lineage` (of a step that
    declares it) holds step, key and hash of the drops of each step before it.
    """
    parts: dict[str, Any] = {
        "step": step.name,
        "version": step.version,
        "schema": schema_sha256(step.output),
        "config": dict(config),
        "inputs": {name: list(hashes) for name, hashes in inputs.items()},
    }
    if step.lineage:
        parts["lineage"] = [list(item) for item in lineage]
    return sha256_json(parts)
