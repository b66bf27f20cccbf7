"""The folder of a trained guard: what whyguard adds to a saved model, and its card."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from whyguard.core.artefact import ModelUse
from whyguard.core.drafts import write_whole
from whyguard.core.errors import DataError, fail
from whyguard.core.hashing import sha256_json
from whyguard.core.languages import Language, known_languages, language_name
from whyguard.core.values import Arm, Label, Reasoning
from whyguard.generation.grammar import render_judge
from whyguard.generation.guard.facts import GUARD_FILE
from whyguard.generation.guard.prompts import DEFAULT_TEMPLATE

CARD_FILE = "README.md"
GROUPS_FILE = "trained_groups.json"
BASE_ARM = "base"
"""Arm of a model that whyguard did not train."""


class StageFacts(BaseModel):
    """One training stage that a guard went through."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stage: str
    """sft, grpo, dpo, cao or none."""
    data: str
    """NAME@VERSION of the dataset, or the name of the folder of pairs."""
    data_sha256: str
    rows: int
    steps: int
    best_step: int | None = None
    """The step whose weights were kept, where dev rows chose one; else the last."""
    seed: int
    settings: dict[str, Any] = {}
    """The stage's config."""
    metrics: dict[str, float] = {}
    """What was measured at the end: dev loss, margins, drift of the anchor."""


class ScoreFacts(BaseModel):
    """One figure of a guard, in a language and a scoring mode."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    language: str
    mode: str
    value: float


class GuardFacts(BaseModel):
    """What a reader of a guard's folder must know to score with it as it was trained."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = 1
    base: str
    base_revision: str
    licence: str
    arm: str
    reasoning: str = "none"
    languages: tuple[str, ...]
    prompt_template: str
    seed: int
    examples: int
    examples_sha256: str
    groups_sha256: str = ""
    """Hash of the sorted ids in trained_groups.json."""
    labels: dict[str, str]
    training: dict[str, Any] = {}
    threshold: float | None = None
    """P(harmful) from which a prompt is caught, where one was fixed on dev rows."""
    stages: tuple[StageFacts, ...] = ()
    """Stages so far, in order; empty in folders of `train.sft` steps and older ones."""
    scores: tuple[ScoreFacts, ...] = ()

    @property
    def prefill_think(self) -> bool:
        """Whether prompts end with `<think>`: as in the last stage that says so."""
        told = [stage.settings.get("prefill_think") for stage in reversed(self.stages)]
        return next((bool(value) for value in told if value is not None), False)


def label_strings() -> dict[str, str]:
    """Full verdict strings whose log-probabilities are compared, by label."""
    return {label.value: render_judge(label) for label in Label}


def plain_facts(use: ModelUse, template: str = DEFAULT_TEMPLATE) -> GuardFacts:
    """Facts of a model that whyguard did not train: scored as the arm `base`."""
    return GuardFacts(base=use.reference, base_revision=use.revision, licence=use.licence,
                      arm=BASE_ARM, languages=(), prompt_template=template, seed=0, examples=0,
                      examples_sha256="", labels=label_strings())  # fmt: skip


def read_guard(folder: Path) -> GuardFacts | None:
    """The facts of a guard's folder; None where whyguard did not train the model.

    Raises:
        DataError: the file is there and cannot be read.
    """
    path = folder / GUARD_FILE
    if not path.is_file():
        return None
    try:
        return GuardFacts.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        fail(DataError, where=str(path), expected="guard facts of format 1",
             found=f"{'.'.join(map(str, first['loc']))}: {first['msg']}",
             do="train the guard again, or repair the file")  # fmt: skip


def add_scores(folder: Path, scores: Iterable[ScoreFacts],
               threshold: float | None = None) -> GuardFacts:  # fmt: skip
    """Write figures into a guard's folder and card, in place of those of the same mode.

    A `threshold` (of mode no_think, fixed on dev rows) replaces the guard's; None leaves it.

    Raises:
        DataError: whyguard did not train the model, or its facts cannot be read.
    """
    facts, new = read_guard(folder), tuple(scores)
    if facts is None:
        fail(DataError, where=str(folder), expected=f"a guard's folder with {GUARD_FILE}",
             found="none", do="name a folder that whyguard trained")  # fmt: skip
    modes = {score.mode for score in new}
    kept = tuple(score for score in facts.scores if score.mode not in modes)
    cut = {} if threshold is None else {"threshold": threshold}
    facts = facts.model_copy(update={"scores": (*kept, *new), **cut})
    write_guard(folder, facts)
    return facts


def write_guard(folder: Path, facts: GuardFacts) -> None:
    """Write guard.json, then the card (last: trainers leave a README.md of their own).

    Each is there whole, or as it was. Drafts are made beside the folder, not in it: what a kill
    leaves of them does not change the model's content.
    """
    text = facts.model_dump_json(indent=2)
    write_whole(folder / GUARD_FILE, text + "\n", folder.parent)
    write_whole(folder / CARD_FILE, _card(facts), folder.parent)


def groups_sha256(groups: Iterable[str]) -> str:
    """Hash of a set of group ids, whatever their order."""
    return sha256_json(sorted(set(groups)))


def write_groups(folder: Path, groups: Iterable[str]) -> None:
    """Write the ids of the groups a guard was trained on, sorted, beside it."""
    text = json.dumps(sorted(set(groups)), ensure_ascii=False, indent=0)
    write_whole(folder / GROUPS_FILE, text + "\n", folder.parent)


def read_groups(folder: Path, facts: GuardFacts) -> frozenset[str]:
    """The ids of the groups a guard was trained on; none for an untrained model.

    Raises:
        DataError: the list of a trained guard is missing, or is not the one in guard.json.
    """
    if facts.arm == BASE_ARM:
        return frozenset()
    path = folder / GROUPS_FILE
    try:
        groups = TypeAdapter(frozenset[str]).validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError):
        groups = frozenset()
    if groups_sha256(groups) != facts.groups_sha256:
        fail(DataError, where=str(path), expected="the groups that guard.json has the hash of",
             found="another list" if groups else "no list",
             do="train the guard again: without them nothing can be called held out")  # fmt: skip
    return groups


def check_held_out(folder: Path, facts: GuardFacts, groups: Iterable[str], where: str) -> None:
    """See that a guard was trained on none of these groups.

    Raises:
        DataError: it was, or the list of its groups is missing or another one.
    """
    seen = sorted(read_groups(folder, facts) & set(groups))
    if seen:
        fail(DataError, where=where,
             expected="dev and test rows of groups that it was not trained on",
             found=f"{len(seen)} groups that it was trained on, such as {', '.join(seen[:3])}",
             do="evaluate on the dataset, and the split, that it was trained with")  # fmt: skip


def _card(facts: GuardFacts) -> str:
    known = known_languages()
    tags = [known.get(code).bcp47 for code in facts.languages if code in known.codes]
    names = ", ".join(_shown(code) for code in facts.languages)
    lines = [f"| {key} | {value} |" for key, value in facts.training.items()]
    settings = "\n".join(["", "| setting | value |", "|---|---|", *lines, ""]) if lines else ""
    what = {
        Arm.REFUSAL_ONLY.value: "the verdict alone",
        Arm.EXPLAINED.value: "the verdict and, on harmful rows, a prompt-specific rationale",
        Arm.EXPLAINED_TEMPLATE.value: "the verdict and, on harmful rows, the category's wording",
    }.get(facts.arm, facts.arm)
    return f"""---
license: {_hub_licence(facts)}
library_name: transformers
pipeline_tag: text-classification
tags: [whyguard, safety, guard]
language: [{", ".join(tags)}]
---

# A whyguard guard: {facts.arm}

Reads a user's request and says `harmful` or `unharmful`. Trained on {what}.

- Base model: `{facts.base}` ({facts.base_revision}), licence {facts.licence}: its terms also
  cover these weights.
- Training languages: {names or "none"}; {facts.examples} rows, sha256 `{facts.examples_sha256}`.
- Prompt template `{facts.prompt_template}`, seed {facts.seed}, reasoning {facts.reasoning}.
{settings}{_stages(facts)}{_scores(facts)}
## Use

    whyguard eval DIR --data FILE.jsonl

The score is the normalised probability of `{facts.labels["harmful"]}` against
`{facts.labels["unharmful"]}` {_where_scored(facts)}.

## Limits

A research artefact, not a product: small base model, small training set, machine-translated
rows unless the dataset card says otherwise. {_threshold_note(facts)}
{_trim_note(facts)}"""


def _where_scored(facts: GuardFacts) -> str:
    if facts.reasoning == Reasoning.NONE.value:
        return "right after the prompt (mode `no_think`)"
    return ("after the reasoning it writes (mode `think_greedy`, which it was trained for; "
            "`--mode no_think` leaves that out)")  # fmt: skip


def _hub_licence(facts: GuardFacts) -> str:
    """A word that model hubs take."""
    return "other" if " " in facts.licence else facts.licence.lower()


def _shown(code: str) -> str:
    language: Language | None = (
        known_languages().get(code) if code in known_languages().codes else None
    )
    return f"{language.name} ({code})" if language else language_name(code)


def _stages(facts: GuardFacts) -> str:
    if not facts.stages:
        return ""
    heads = ("stage", "data", "rows", "steps", "learning rate", "seed", "metrics")
    lines = ["", "## Stages", "", f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for stage in facts.stages:
        kept = f"{stage.steps}" + (f" (best: {stage.best_step})" if stage.best_step else "")
        metrics = ", ".join(f"{key} {value:.4g}" for key, value in stage.metrics.items()) or "-"
        rate = stage.settings.get("learning_rate", "-")
        lines.append(f"| {stage.stage} | `{stage.data}` sha256 `{stage.data_sha256[:16]}` "
                     f"| {stage.rows} | {kept} | {rate} | {stage.seed} | {metrics} |")  # fmt: skip
    return "\n".join(lines) + "\n"


def _scores(facts: GuardFacts) -> str:
    if not facts.scores:
        return ""
    lines = ["", "## Figures", "", "| figure | language | mode | value |", "|---|---|---|---|"]
    lines += [f"| {s.name} | {_shown(s.language)} | {s.mode} | {s.value:.4g} |"
              for s in facts.scores]  # fmt: skip
    return "\n".join(lines) + "\n"


def _threshold_note(facts: GuardFacts) -> str:
    if facts.threshold is None:
        return "Fix its threshold on your own development rows."
    return (f"Its threshold, {facts.threshold:.4g},\nwas fixed on few development rows of its "
            "training languages: fix it anew on your own.")  # fmt: skip


def _trim_note(facts: GuardFacts) -> str:
    if not facts.training.get("trim_vocabulary"):
        return ""
    return (
        "Its vocabulary was cut to the words of its dataset: other text is read without loss,\n"
        "but in more tokens, and languages outside the dataset are read letter by letter.\n"
    )
