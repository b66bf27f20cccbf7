"""Runs a recipe's steps in order, reusing what the store holds under the same content key."""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

from whyguard.core.artefact import (
    MANIFEST,
    Artefact,
    ArtefactDraft,
    Counts,
    InputUse,
    load_artefact,
)
from whyguard.core.drafts import sweep_drafts
from whyguard.core.hashing import sha256_json
from whyguard.core.progress import Progress
from whyguard.core.provenance import collect_provenance, masked
from whyguard.core.recipe import BoundStep, Recipe
from whyguard.core.refs import Resolver, keyed_config, resolved_config
from whyguard.core.steps import (
    LINEAGE,
    Estimate,
    Input,
    Inputs,
    Published,
    Room,
    StepResult,
    Workspace,
    step_key,
)

_KEY_DIGITS = 20


class State(StrEnum):
    """Where a step stands before a run."""

    STORED = "stored"
    """Its result is there and will be reused."""
    BUILT = "built"
    """It costs nothing, and was run for this plan."""
    NEW = "new"
    """It would run."""
    WAITS = "waits"
    """It would run; some of its inputs are not there yet."""


class Planned(NamedTuple):
    """What a run would do with one step; no estimate where it asks no model, or cannot know."""

    id: str
    step: str
    state: State
    estimate: Estimate | None


@dataclass(frozen=True, slots=True)
class Finished:
    """One step after a run."""

    id: str
    artefact: Artefact
    reused: bool
    published: tuple[Published, ...]


class Engine:
    """Plans and runs recipes in a workspace."""

    def __init__(self, workspace: Workspace, data_root: Path, progress: Progress) -> None:
        self._workspace = workspace
        self._resolver = Resolver(data_root, workspace.root)
        self._progress = progress

    def plan(self, recipe: Recipe, *, build: bool = True) -> list[Planned]:
        """What is stored, what is new, and what model calls new steps would make (at most).

        With `build`, steps that ask no model and train none are run (and stored, for the run to
        reuse): what follows them can then be counted.
        """
        self._check_outside(recipe)
        built: dict[str, Artefact] = {}
        return [self._plan_step(recipe, bound, built, build) for bound in recipe.steps]

    def _plan_step(self, recipe: Recipe, bound: BoundStep, built: dict[str, Artefact],
                   build: bool) -> Planned:  # fmt: skip
        missing = [name for name, sources in bound.inputs.items()
                   if any(source not in built for source in sources)]  # fmt: skip
        if missing:
            there = {name: sources for name, sources in bound.inputs.items()
                     if name not in missing}  # fmt: skip
            return self._planned(recipe, bound, State.WAITS, _gather(there, built))
        inputs = _gather(bound.inputs, built)
        lineage = _lineage(recipe, bound, built)
        key = self._key(recipe, bound, inputs, lineage)
        if (self._folder(bound, key) / MANIFEST).is_file():
            built[bound.id] = load_artefact(self._folder(bound, key))
            return Planned(bound.id, bound.step.name, State.STORED, None)
        if build and bound.step.light and bound.step.light(bound.config):
            built[bound.id] = self._compute(recipe, bound, inputs, lineage, key)
            return Planned(bound.id, bound.step.name, State.BUILT, None)
        return self._planned(recipe, bound, State.NEW, inputs)

    def _planned(self, recipe: Recipe, bound: BoundStep, state: State, inputs: Inputs) -> Planned:
        step = bound.step
        enough = bound.inputs.keys() if step.estimate_from is None else step.estimate_from
        cost = None
        if step.estimate and enough <= inputs.keys():
            config = resolved_config(bound.config, self._resolver, _where(recipe, bound))
            cost = step.estimate(inputs, config, bound.runtime, self._workspace.ledger)
        return Planned(bound.id, step.name, state, cost)

    def run(self, recipe: Recipe) -> list[Finished]:
        """Run every step that is not stored yet; lays results out through `publish`."""
        self._check_outside(recipe)
        self._workspace.store.mkdir(parents=True, exist_ok=True)
        sweep_drafts(self._workspace.store)
        built: dict[str, Artefact] = {}
        finished = []
        for number, bound in enumerate(recipe.steps, 1):
            done = self._run_step(recipe, bound, built, f"[{number}/{len(recipe.steps)}]")
            built[bound.id] = done.artefact
            finished.append(done)
        return finished

    def _check_outside(self, recipe: Recipe) -> None:
        for bound in recipe.steps:
            keyed_config(bound.config, self._resolver, _where(recipe, bound))

    def _run_step(self, recipe: Recipe, bound: BoundStep, built: Mapping[str, Artefact],
                  label: str) -> Finished:  # fmt: skip
        inputs = _gather(bound.inputs, built)
        lineage = _lineage(recipe, bound, built)
        key = self._key(recipe, bound, inputs, lineage)
        folder = self._folder(bound, key)
        reused = (folder / MANIFEST).is_file()
        if reused:
            artefact = load_artefact(folder)
            self._progress.say(f"{label} {bound.id}: reused, {_counts(artefact)}")
        else:
            self._progress.say(f"{label} {bound.id}: {bound.step.summary} ...")
            artefact = self._compute(recipe, bound, inputs, lineage, key)
            spent = f"{artefact.manifest.seconds:.1f} s"
            self._progress.say(f"{label} {bound.id}: done in {spent}, {_counts(artefact)}")
        publish = bound.step.publish
        laid = publish(artefact, bound.config, self._workspace) if publish else ()
        return Finished(bound.id, artefact, reused, laid)

    def _compute(self, recipe: Recipe, bound: BoundStep, inputs: Inputs,
                 lineage: Sequence[Artefact], key: str) -> Artefact:  # fmt: skip
        started = time.monotonic()
        draft = ArtefactDraft(self._folder(bound, key))
        scratch = self._workspace.scratch / bound.step.name / key[:_KEY_DIGITS]
        scratch.mkdir(parents=True, exist_ok=True)
        self._workspace.ledger.mkdir(parents=True, exist_ok=True)
        config = resolved_config(bound.config, self._resolver, _where(recipe, bound))
        try:
            room = Room(draft.files, scratch, self._progress, self._workspace.ledger,
                        recipe.name, recipe.budget)  # fmt: skip
            result = bound.step.run(inputs, config, bound.runtime, room)
            uses = {name: _uses(given.artefacts) for name, given in inputs.items()}
            if bound.step.lineage:
                uses[LINEAGE] = _uses(lineage)
            facts = _facts(bound, uses, key, result, time.monotonic() - started)
            return draft.commit(bound.step.output, result.rows, result.drops, facts)
        except BaseException:
            draft.discard()
            raise

    def _key(self, recipe: Recipe, bound: BoundStep, inputs: Inputs,
             lineage: Sequence[Artefact]) -> str:  # fmt: skip
        config = keyed_config(bound.config, self._resolver, _where(recipe, bound))
        hashes = {
            name: tuple(a.manifest.content_sha256 for a in given.artefacts)
            for name, given in inputs.items()
        }
        before = [(m.step, m.key, m.drops_sha256) for m in (a.manifest for a in lineage)]
        return step_key(bound.step, config, hashes, before)

    def _folder(self, bound: BoundStep, key: str) -> Path:
        return self._workspace.store / bound.step.name / key[:_KEY_DIGITS]


def find_artefact(store: Path, use: InputUse) -> Artefact | None:
    """The stored artefact an input came from, if it is still there."""
    folder = store / use.step / use.key[:_KEY_DIGITS]
    return load_artefact(folder) if (folder / MANIFEST).is_file() else None


def _gather(wiring: Mapping[str, tuple[str, ...]],
            built: Mapping[str, Artefact]) -> dict[str, Input]:  # fmt: skip
    return {
        name: Input(tuple(built[source] for source in sources)) for name, sources in wiring.items()
    }


def _lineage(
    recipe: Recipe, bound: BoundStep, built: Mapping[str, Artefact]
) -> tuple[Artefact, ...]:
    """For a step that tells of them: what stands before it in this run, nearest first, each once.

    By the recipe's wiring: the manifest of a reused artefact may name an earlier run's inputs,
    which had the same rows and other drops.
    """
    if not bound.step.lineage:
        return ()
    wiring = {step.id: step.inputs for step in recipe.steps}
    found: dict[str, Artefact] = {}
    walk = [bound.id]
    for name in walk:
        sources = [source for group in wiring[name].values() for source in group]
        walk += [source for source in dict.fromkeys(sources) if source not in walk]
    for name in walk[1:]:
        found.setdefault(built[name].manifest.key, built[name])
    return tuple(found.values())


def _uses(artefacts: Iterable[Artefact]) -> tuple[InputUse, ...]:
    return tuple(
        InputUse(step=m.step, key=m.key, content_sha256=m.content_sha256)
        for m in (artefact.manifest for artefact in artefacts)
    )


def _facts(bound: BoundStep, uses: Mapping[str, tuple[InputUse, ...]], key: str,
           result: StepResult, seconds: float) -> dict[str, Any]:  # fmt: skip
    rules = result.drops["rule"].value_counts().sort("rule").iter_rows()
    return {
        "step": bound.step.name,
        "step_version": bound.step.version,
        "key": key,
        "counts": Counts(kept=result.rows.height, dropped=dict(rules), read=result.read),
        "config": masked(bound.config.model_dump(mode="json")),
        "inputs": dict(uses),
        "models": result.models,
        "licences": tuple(sorted(set(result.licences))),
        "notes": result.notes,
        "runtime": masked(bound.runtime.model_dump(mode="json")),
        "seconds": round(seconds, 3),
        "provenance": collect_provenance(),
    }


def _counts(artefact: Artefact) -> str:
    counts = artefact.manifest.counts
    dropped = sum(counts.dropped.values())
    if not dropped:
        return f"{counts.kept} rows"
    reasons = ", ".join(f"{rule} {n}" for rule, n in counts.dropped.items())
    return f"{counts.kept} rows, dropped {dropped} ({reasons})"


def _where(recipe: Recipe, bound: BoundStep) -> str:
    return f"{recipe.path}: steps.{bound.id}.config"


def recipe_sha256(recipe: Recipe) -> str:
    """Hash of a recipe's steps, configs and wiring (not of its file's layout)."""
    return sha256_json(
        [
            [b.id, b.step.name, b.step.version, b.config.model_dump(mode="json"),
             {k: list(v) for k, v in b.inputs.items()}]
            for b in recipe.steps
        ]
    )  # fmt: skip
