"""Walks back from an artefact through the store to everything that it was made from."""

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from whyguard.cards.layout import UpstreamStep
from whyguard.core.artefact import Artefact, InputUse, Manifest
from whyguard.core.engine import find_artefact
from whyguard.core.hashing import canonical_json
from whyguard.core.steps import LINEAGE
from whyguard.core.values import NOT_WRITTEN

DROP_COLUMNS = ("step", "step_key", "row_id", "rule", "reason", "where", "row")
_DATA_PACKAGES = ("whyguard", "polars", "dataframely", "rensa", "torch", "transformers")
_FOLDERS = re.compile(r"(?<![\w/.~-])/(?:[^/\s:'\"]+/)+")


class Upstream(NamedTuple):
    """A step on the way and, where the store still holds it, its artefact."""

    facts: UpstreamStep
    artefact: Artefact | None


def upstream(store: Path, artefact: Artefact) -> list[Upstream]:
    """The artefact itself, then all that it was made from, nearest first, each once.

    Where its manifest lists the steps before it, that list counts: reused artefacts on the way
    may name inputs of an earlier run. Else the manifests are followed.
    """
    found = [Upstream(_facts(artefact.manifest), artefact)]
    listed = artefact.manifest.inputs.get(LINEAGE)
    if listed is not None:
        return found + [_look_up(store, use) for use in listed]
    seen = {artefact.manifest.key}
    for item in found:
        for use in _uses(item.artefact):
            if use.key not in seen:
                seen.add(use.key)
                found.append(_look_up(store, use))
    return found


def _uses(artefact: Artefact | None) -> list[InputUse]:
    if artefact is None:
        return []
    return [use for uses in artefact.manifest.inputs.values() for use in uses]


def _look_up(store: Path, use: InputUse) -> Upstream:
    artefact = find_artefact(store, use)
    if artefact is None:
        gone = UpstreamStep(
            step=use.step, key=use.key, content_sha256=use.content_sha256, found=False
        )
        return Upstream(gone, None)
    return Upstream(_facts(artefact.manifest), artefact)


def _facts(manifest: Manifest) -> UpstreamStep:
    packages = manifest.provenance.packages
    return UpstreamStep(
        step=manifest.step,
        key=manifest.key,
        content_sha256=manifest.content_sha256,
        step_version=manifest.step_version,
        rows_sha256=manifest.rows_sha256,
        counts=manifest.counts,
        config=_without_folders(manifest.config),
        inputs=manifest.inputs,
        models=manifest.models,
        licences=manifest.licences,
        packages={name: packages[name] for name in _DATA_PACKAGES if name in packages},
        notes=_without_folders(manifest.notes),
    )


def all_drops(steps: Sequence[Upstream]) -> pl.DataFrame:
    """Every drop of every step that is still stored, with the step it happened in.

    Folders of the machine it ran on are cut from `where`. The text of a row of a category that is
    never kept is not kept here either.
    """
    tables = [_drops_of(item.facts, item.artefact) for item in steps if item.artefact]
    empty = pl.DataFrame(schema=dict.fromkeys(DROP_COLUMNS, pl.String))
    return pl.concat([empty, *tables])


def _drops_of(facts: UpstreamStep, artefact: Artefact) -> pl.DataFrame:
    drops = artefact.drops()
    return drops.with_columns(
        step=pl.lit(facts.step),
        step_key=pl.lit(facts.key),
        where=pl.Series([without_folders(text) for text in drops["where"]], dtype=pl.String),
        reason=pl.Series([without_folders(text) for text in drops["reason"]], dtype=pl.String),
        row=pl.Series([_publishable(text) for text in drops["row"]], dtype=pl.String),
    ).select(DROP_COLUMNS)


def drop_counts(drops: pl.DataFrame) -> dict[str, dict[str, int]]:
    """Step -> rule -> dropped rows, in the order in which steps and rules appear."""
    counted = drops.group_by("step", "rule", maintain_order=True).len()
    table: dict[str, dict[str, int]] = {}
    for step, rule, n in counted.iter_rows():
        table.setdefault(step, {})[rule] = n
    return table


def _publishable(row: str) -> str:
    try:
        values = json.loads(row)
    except ValueError:
        return row
    categories = values.get("categories") if isinstance(values, dict) else None
    if isinstance(categories, list) and set(map(str, categories)) & set(NOT_WRITTEN):
        return canonical_json({"categories": categories, "withheld": True})
    return row


def command_of(argv: Sequence[str]) -> str:
    """The command line that `argv` came from, without folders of the machine it ran on.

    A run from Python (a notebook, a test) has no such command: the general form is given.
    """
    if not argv or argv[0] != "whyguard":
        return "whyguard run RECIPE.yaml"
    return shlex.join(without_folders(word) for word in argv)


def without_folders(text: str) -> str:
    """The text with absolute folders cut down to the last name of each path."""
    return _FOLDERS.sub("", text)


def _without_folders(value: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _cut(item) for key, item in value.items()}


def _cut(value: Any) -> Any:
    if isinstance(value, str):
        return without_folders(value)
    if isinstance(value, Mapping):
        return _without_folders(value)
    return [_cut(item) for item in value] if isinstance(value, list | tuple) else value
