"""Step `train.pairs`: preference pairs for CAO and DPO, sampled from a guard.

Import stays light: torch is loaded when something must be sampled.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import dataframely as dy
import polars as pl
from pydantic import Field, model_validator

from whyguard.core.errors import DataError, fail
from whyguard.core.languages import ENGLISH, LanguageCode
from whyguard.core.refs import ModelRef
from whyguard.core.schemas import LANGUAGE_PATTERN, Example, categories_column
from whyguard.core.steps import Estimate, Inputs, Room, Step, StepConfig, StepResult
from whyguard.core.tables import Row, drop, drops_frame, frame
from whyguard.core.values import Label, Split
from whyguard.generation.guard.facts import read_use
from whyguard.generation.guard.prompts import DEFAULT_TEMPLATE, PromptTemplate, prompt_template
from whyguard.generation.guard.scoring import encode_pieces
from whyguard.generation.models import Precision, is_here, locate_model
from whyguard.generation.teachers.base import Task, TeacherConfig, TeacherRuntime
from whyguard.train.folder import read_guard
from whyguard.train.pair_choice import (
    Both,
    Chosen,
    NoPair,
    Rejected,
    Sample,
    Slot,
    askable,
    choose,
    over_cap,
    slots_of,
    with_explanation,
)
from whyguard.train.pair_sampler import (
    GuardSampler,
    ask_guard,
    estimate_sampling,
    sampling_tasks,
)
from whyguard.train.sampling import THINK_OPEN, guard_prompt_ids

_LABELS = [value.value for value in Label]
_PIECES = re.compile(r"(<judge>.*?</judge>|</?(?:think|violations|explanation)>)", re.DOTALL)
Samples = Mapping[str, Sequence[Sample]]


class PreferencePair(dy.Schema):
    """One preference pair: two completions of the local prompt, and the anchor on the English one.

    Completions are whole: where the prompt ended with a `prefill`, they begin with it. `chosen` is
    `anchor`, or the anchor with the local explanation. `right_of` and `wrong_of` count the samples
    that could have been taken, of `samples` on each prompt.
    """

    pair_id = dy.String(primary_key=True, min_length=1)
    family_id = dy.String(min_length=1)
    group_id = dy.String(min_length=1)
    example_id = dy.String(min_length=1)
    language = dy.String(regex=LANGUAGE_PATTERN)
    label = dy.Enum(_LABELS)
    categories = categories_column()
    prompt_e = dy.String(min_length=1)
    prompt_t = dy.String(min_length=1)
    chosen = dy.String(min_length=1)
    rejected = dy.String(min_length=1)
    anchor = dy.String(min_length=1)
    chosen_verdict = dy.Enum(_LABELS)
    rejected_verdict = dy.Enum(_LABELS)
    prompt_template = dy.String(min_length=1)
    prefill = dy.String()
    generator = dy.String(min_length=1)
    chosen_call = dy.String(nullable=True)
    rejected_call = dy.String(nullable=True)
    chosen_sample = dy.Int32(min=0)
    rejected_sample = dy.Int32(min=0)
    samples = dy.Int32(min=1)
    right_of = dy.Int32(min=1)
    wrong_of = dy.Int32(min=1)
    temperature = dy.Float64(min=0.0)
    top_p = dy.Float64(min=0.0, max=1.0)
    seed = dy.Int64()

    @dy.rule()
    def right_is_chosen(cls) -> pl.Expr:  # noqa: N805 - dataframely's form
        """The chosen verdict is the label, the rejected one is not."""
        label = pl.col("label").cast(pl.String)
        right = pl.col("chosen_verdict").cast(pl.String) == label
        return right & (pl.col("rejected_verdict").cast(pl.String) != label)


@dataclass(frozen=True, slots=True)
class EncodedPair:
    """A pair as token ids; the prompts hold the prefill, the completions what follows it."""

    pair_id: str
    group_id: str
    prompt_t: tuple[int, ...]
    chosen: tuple[int, ...]
    rejected: tuple[int, ...]
    prompt_e: tuple[int, ...]
    anchor: tuple[int, ...]
    """The completion on the English prompt over which the anchor's divergence is taken."""


class PairsConfig(StepConfig):
    """Which guard is sampled, how, and which pairs are kept."""

    model: ModelRef
    """The guard of the GRPO stage, or of SFT."""
    languages: tuple[LanguageCode, ...] = Field(min_length=1)
    """Target languages."""
    prompt: str | None = None
    """Prompt template; None: the one in the guard's own guard.json."""
    prefill_think: bool | None = None
    """The prompt ends with `<think>`, as the published one does. None: as in the guard's own GRPO
    stage; a guard without one is not prefilled."""
    samples: int = Field(default=8, ge=1)
    """Completions a prompt; one English prompt serves all languages of its family."""
    temperature: float = Field(default=0.7, ge=0.0)
    """Above that of the GRPO stage (0.3): wrong verdicts are what is looked for."""
    top_p: float = Field(default=1.0, gt=0.0, le=1.0)
    max_new_tokens: int = Field(default=256, ge=1)
    """A sample ends behind its verdict; one that has none by then cannot be read."""
    seed: int = Field(default=0, ge=0)
    """Of the samples, and of the choice among them."""
    precision: Precision = Precision.FP32
    explanation: Literal["cut", "splice"] = "cut"
    """cut: both completions end behind the verdict. splice: on harmful rows the local explanation
    of the dataset follows the chosen one."""
    reviewed_only: bool = False
    """Splice only explanations of rows that people have reviewed."""
    cap: int | None = Field(default=None, ge=1)
    """Most pairs a language."""

    @model_validator(mode="after")
    def _usable(self) -> "PairsConfig":
        if ENGLISH in self.languages or len(set(self.languages)) < len(self.languages):
            raise ValueError(f"target languages, each once, without {ENGLISH}: it is the anchor's")
        if self.samples > 1 and self.temperature == 0.0:
            raise ValueError("a temperature above 0 for more than one sample: greedy samples are "
                             "all the same")  # fmt: skip
        return self

    @property
    def teacher(self) -> TeacherConfig:
        """The sampling as calls."""
        return TeacherConfig(kind="transformers", model=self.model, samples=self.samples,
                             max_new_tokens=self.max_new_tokens, temperature=self.temperature,
                             top_p=self.top_p, seed=self.seed,
                             precision=self.precision)  # fmt: skip


class Asking(NamedTuple):
    """How the guard is asked."""

    template: PromptTemplate
    prefill: str = ""
    """What the prompt ends with, behind its template."""


class Source(NamedTuple):
    """What wrote the samples, and how it was asked."""

    asking: Asking
    generator: str


class Built(NamedTuple):
    """Pairs and drops: one of the two for each slot."""

    rows: list[Row]
    drops: list[dict[str, str]]


def run(inputs: Inputs, config: PairsConfig, runtime: TeacherRuntime, room: Room) -> StepResult:
    """Sample on both prompts of each family, and keep one pair a family and language.

    `read` counts rows in a target language, and families that are in none.
    """
    slots = _slots(inputs, config)
    asking = asking_of(config)
    sampler = GuardSampler(config.teacher, runtime, room.progress, asking.template)
    tasks = _tasks(slots, config, asking.prefill)
    samples = ask_guard(sampler, tasks, config.teacher, runtime, room)
    built = build_pairs(slots, samples, config, Source(asking, sampler.generator))
    models = (sampler.use,) if sampler.use else ()
    return StepResult(frame(PreferencePair, built.rows), drops_frame(built.drops), models,
                      tuple(use.licence for use in models), notes=_notes(built),
                      read=len(slots))  # fmt: skip


def build_pairs(slots: Sequence[Slot], samples: Samples, config: PairsConfig,
                source: Source) -> Built:  # fmt: skip
    """The pairs of `slots` from samples by example id, and a drop for each slot without one."""
    rows: list[Row] = []
    drops: list[dict[str, str]] = []
    for slot in slots:
        both = _askable(slot, config)
        found = _chosen(both, samples, config.seed) if isinstance(both, Both) else both
        if isinstance(both, Both) and isinstance(found, Chosen):
            rows.append(_pair(both, found, config, source))
        elif isinstance(found, Rejected):
            drops.append(_drop(slot.row, found))
    many = over_cap(rows, config.cap, config.seed)
    capped = Rejected(NoPair.CAPPED, f"its language has {config.cap} other pairs")
    drops += [_drop(row, capped) for row in rows if row["pair_id"] in many]
    return Built([row for row in rows if row["pair_id"] not in many], drops)


def encode_pairs(rows: Iterable[Mapping[str, Any]], tokenizer: Any,
                 template: PromptTemplate) -> list[EncodedPair]:  # fmt: skip
    """Rows of `PreferencePair` as token ids; nothing is cut, and no end token is added.

    Tags and the verdict are tokenized alone, as in SFT; a completion that ends behind its verdict
    is a beginning, so that its end is left to the arm.

    Raises:
        DataError: a row was sampled with another template.
    """
    return [_encoded(row, tokenizer, template) for row in rows]


def estimate(inputs: Inputs, config: PairsConfig, runtime: TeacherRuntime,
             ledger: Path) -> Estimate:  # fmt: skip
    """Calls and stored samples."""
    here = is_here(config.model)
    asking = asking_of(config) if here else Asking(prompt_template(DEFAULT_TEMPLATE))
    tasks = _tasks(_slots(inputs, config), config, asking.prefill)
    return estimate_sampling(tasks, config.teacher, runtime, asking.template, ledger)


def asking_of(config: PairsConfig) -> Asking:
    """Template and prefill: the config's, else those the guard was trained with.

    Raises:
        ConfigError: there is no such template, or the reference has none of the known forms.
        DataError: the guard's facts cannot be read.
        MissingFileError, OfflineError: see `models.locate_model`.
    """
    folder = locate_model(config.model).folder
    name = config.prompt or read_use(folder).prompt_template
    begun = config.prefill_think
    if begun is None:
        facts = read_guard(folder)
        begun = facts is not None and facts.prefill_think
    return Asking(prompt_template(name, "train.pairs: prompt"), THINK_OPEN if begun else "")


def _slots(inputs: Inputs, config: PairsConfig) -> list[Slot]:
    rows = inputs["examples"].rows.filter(pl.col("split") == Split.TRAIN.value).to_dicts()
    slots = slots_of(rows, ENGLISH, config.languages)
    if not any(slot.target for slot in slots):
        fail(DataError, where="train.pairs: input examples",
             expected=f"train rows in {', '.join(config.languages)}", found="none",
             do="check the languages and the split of the dataset")  # fmt: skip
    return slots


def _askable(slot: Slot, config: PairsConfig) -> Both | Rejected:
    return askable(slot, splice=config.explanation == "splice",
                   reviewed_only=config.reviewed_only)  # fmt: skip


def _tasks(slots: Sequence[Slot], config: PairsConfig, prefill: str) -> list[Task]:
    """Samples on both prompts of the slots that can have a pair."""
    found = [_askable(slot, config) for slot in slots]
    rows = [row for both in found if isinstance(both, Both) for row in both]
    return sampling_tasks(rows, config.samples, prefill)


def _chosen(both: Both, samples: Samples, seed: int) -> Chosen | Rejected:
    english, target = both
    key = (target["family_id"], target["language"])
    return choose(key, Label(target["label"]), samples.get(english["example_id"], ()),
                  samples.get(target["example_id"], ()), seed)  # fmt: skip


def _pair(both: Both, found: Chosen, config: PairsConfig, source: Source) -> Row:
    english, target = both
    right, wrong = found.right, found.wrong
    spliced = config.explanation == "splice" and target["label"] == Label.HARMFUL
    names = ("family_id", "group_id", "example_id", "language", "label", "categories")
    return {name: target[name] for name in names} | {
        "pair_id": target["example_id"],
        "prompt_e": english["text"],
        "prompt_t": target["text"],
        "chosen": with_explanation(right.cut, target["explanation"]) if spliced else right.cut,
        "rejected": wrong.cut,
        "anchor": right.cut,
        "chosen_verdict": right.verdict.value,
        "rejected_verdict": wrong.verdict.value,
        "prompt_template": source.asking.template.name,
        "prefill": source.asking.prefill,
        "generator": source.generator,
        "chosen_call": right.sample.call_id,
        "rejected_call": wrong.sample.call_id,
        "chosen_sample": right.sample.number,
        "rejected_sample": wrong.sample.number,
        "samples": config.samples,
        "right_of": found.right_of,
        "wrong_of": found.wrong_of,
        "temperature": config.temperature,
        "top_p": config.top_p,
        "seed": config.seed,
    }  # fmt: skip


def _drop(row: Row, why: Rejected) -> dict[str, str]:
    """Ids only: what was sampled lies in the ledger, and what is never written is not kept."""
    facts = {name: row[name] for name in ("example_id", "family_id", "language", "label")}
    return drop(facts, row["example_id"], why.rule.value, why.reason)


def _notes(built: Built) -> dict[str, Any]:
    """How many families gave a pair, by language, and why the others did not."""
    return {
        "families": len({row["family_id"] for row in built.rows}),
        "by_language": dict(sorted(Counter(row["language"] for row in built.rows).items())),
        "by_label": dict(sorted(Counter(row["label"] for row in built.rows).items())),
        "without": dict(sorted(Counter(item["rule"] for item in built.drops).items())),
    }


def _encoded(row: Mapping[str, Any], tokenizer: Any, template: PromptTemplate) -> EncodedPair:
    if row["prompt_template"] != template.name:
        fail(DataError, where=f"pair {row['pair_id']}", expected=f"template {template.name}",
             found=row["prompt_template"], do="train with the template the pairs were sampled "
             "with, or build pairs anew")  # fmt: skip
    prefill = row["prefill"]

    def prompt(text: str) -> tuple[int, ...]:
        return tuple(guard_prompt_ids(tokenizer, template, text, prefill))

    def completion(text: str) -> tuple[int, ...]:
        pieces = _PIECES.split(text.removeprefix(prefill))
        return tuple(encode_pieces(tokenizer, [piece for piece in pieces if piece]))

    return EncodedPair(row["pair_id"], row["group_id"], prompt(row["prompt_t"]),
                       completion(row["chosen"]), completion(row["rejected"]),
                       prompt(row["prompt_e"]), completion(row["anchor"]))  # fmt: skip


PAIRS = Step(
    name="train.pairs",
    version="2",
    summary="building preference pairs",
    config=PairsConfig,
    inputs={"examples": Example},
    output=PreferencePair,
    run=run,
    runtime=TeacherRuntime,
    estimate=estimate,
)
