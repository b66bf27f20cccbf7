"""Re-proves a dataset version: every hash, count, schema, split and figure of its card."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import polars as pl
import yaml

from whyguard.cards.card import card_counts, stated_front_matter
from whyguard.cards.card_tables import count_table
from whyguard.cards.layout import (
    CARD,
    DROPS,
    MANIFEST,
    VersionManifest,
    read_manifest,
    split_file,
)
from whyguard.cards.lineage import drop_counts
from whyguard.cards.version import torn_units
from whyguard.core.errors import ArtefactError, fail
from whyguard.core.hashing import rows_sha256, sha256_folder
from whyguard.core.schemas import Example
from whyguard.core.tables import schema_sha256, validated

_RESTORE = "take the version from its publisher again, or publish it again from the store"
_SHOWN = 3


class Proof(NamedTuple):
    """One thing that was proved, or not. `where` is a file of the version."""

    what: str
    where: str
    expected: str
    found: str
    ok: bool
    do: str = _RESTORE


def check_version(folder: Path) -> list[Proof]:
    """Prove everything that a version's manifest and card claim; failures are listed, not raised.

    Raises:
        MissingFileError: there is no version in the folder.
        ArtefactError: its manifest cannot be read.
    """
    manifest = read_manifest(folder)
    proofs = [_name(folder, manifest), *_files(folder, manifest)]
    tables, readable = _tables(folder, manifest)
    proofs.extend(readable)
    if all(proof.ok for proof in readable):
        rows = pl.concat(list(tables.values()))
        proofs.extend(_rows(manifest, tables, rows))
        proofs.extend(_groups(rows))
        proofs.append(_guarded("counts of the card", CARD, lambda: _card(folder, rows)))
    proofs.append(_guarded("splits named by the card", CARD, lambda: _front(folder, manifest)))
    proofs.append(_guarded("dropped rows", DROPS, lambda: _drops(folder, manifest)))
    proofs.extend(_lineage(manifest))
    return proofs


def require_proved(folder: Path, proofs: list[Proof]) -> None:
    """Raise for the first thing that was not proved.

    Raises:
        ArtefactError: a proof failed; the message names file, expected, found and what to do.
    """
    failed = [proof for proof in proofs if not proof.ok]
    if failed:
        first, others = failed[0], len(failed) - 1
        more = f" ({others} more failed)" if others else ""
        fail(ArtefactError, where=f"{folder / first.where}: {first.what}", expected=first.expected,
             found=first.found, do=f"{first.do}{more}")  # fmt: skip


def _same(what: str, where: str, expected: object, found: object, do: str = _RESTORE) -> Proof:
    return Proof(what, where, str(expected), str(found), expected == found, do)


def _guarded(what: str, where: str, proof: Callable[[], Proof]) -> Proof:
    """A file that cannot even be read is a proof that failed, with the reason."""
    try:
        return proof()
    except (OSError, ValueError, KeyError, IndexError, TypeError, yaml.YAMLError,
            pl.exceptions.PolarsError) as error:  # fmt: skip
        return Proof(what, where, "a file that can be read", f"{type(error).__name__}: {error}",
                     False)  # fmt: skip


def _name(folder: Path, manifest: VersionManifest) -> Proof:
    expected = f"{manifest.name}@{manifest.version}"
    found = folder.resolve().name
    do = f"rename the folder to {expected}"
    return _same("name of the folder", MANIFEST, expected, found, do)


def _files(folder: Path, manifest: VersionManifest) -> Iterator[Proof]:
    found = sha256_folder(folder)
    found.pop(MANIFEST, None)
    for name in sorted(set(manifest.files) | set(found)):
        expected = manifest.files.get(name, "no such file")
        do = _RESTORE if name in manifest.files else "take it out: it is no part of the version"
        yield _same("sha256 of the file", name, expected, found.get(name, "no such file"), do)


def _tables(folder: Path, manifest: VersionManifest
            ) -> tuple[dict[str, pl.DataFrame], list[Proof]]:  # fmt: skip
    tables: dict[str, pl.DataFrame] = {}
    proofs = [_same("schema", MANIFEST, schema_sha256(Example), manifest.schema_sha256,
                    "check it with the whyguard version that made it")]  # fmt: skip
    for split in manifest.splits:
        file = split_file(split.value)

        def read(split: str = split.value, file: str = file) -> Proof:
            tables[split] = validated(Example, pl.read_parquet(folder / file), file)
            return _same("schema", file, "rows of schema Example", "rows of schema Example")

        proofs.append(_guarded("schema", file, read))
    return tables, proofs


def _rows(manifest: VersionManifest, tables: dict[str, pl.DataFrame],
          rows: pl.DataFrame) -> Iterator[Proof]:  # fmt: skip
    for split, facts in manifest.splits.items():
        table = tables[split]
        yield _same("rows", facts.file, facts.rows, table.height)
        yield _same("groups", facts.file, facts.groups, table["group_id"].n_unique())
        yield _same("sha256 of the rows", facts.file, facts.rows_sha256, rows_sha256(table))
        found = sorted(table["split"].cast(pl.String).unique())
        yield _same("split of its rows", facts.file, [split.value], found)
    yield _same("rows of all splits", MANIFEST, manifest.rows, rows.height)
    yield _same("sha256 of all rows", MANIFEST, manifest.rows_sha256, rows_sha256(rows))
    yield _same("languages", MANIFEST, list(manifest.languages), sorted(rows["language"].unique()))
    twice = rows.height - rows["example_id"].n_unique()
    yield _same("example ids that occur twice", "data", 0, twice)


def _groups(rows: pl.DataFrame) -> Iterator[Proof]:
    for unit in ("group_id", "family_id"):
        torn = torn_units(rows, unit)
        found = f"{len(torn)} are in two: {', '.join(torn[:_SHOWN])}" if torn else "none in two"
        yield _same(f"group safety: no {unit} in two splits", "data", "none in two", found,
                    "do not use it for measurements: test rows leak into training")  # fmt: skip


def _card(folder: Path, rows: pl.DataFrame) -> Proof:
    stated = card_counts((folder / CARD).read_text("utf-8"))
    counted = {str(row[1]): [int(n) for n in row[2:]] for row in count_table(rows).body}
    wrong = [code for code in sorted(set(stated) | set(counted))
             if stated.get(code) != counted.get(code)]  # fmt: skip
    if not wrong:
        same = f"{len(counted)} languages, {rows.height} rows"
        return _same("counts of the card", CARD, same, same)
    code = wrong[0]
    return Proof("counts of the card", CARD, f"{code}: {counted.get(code, 'no row')} (the data)",
                 f"{code}: {stated.get(code, 'no row')} (the card)", False)  # fmt: skip


def _front(folder: Path, manifest: VersionManifest) -> Proof:
    front = stated_front_matter((folder / CARD).read_text("utf-8"))
    found = {str(f["split"]): str(f["path"]) for f in front["configs"][0]["data_files"]}
    expected = {split.value: facts.file for split, facts in manifest.splits.items()}
    return _same("splits named by the card", CARD, expected, found)


def _drops(folder: Path, manifest: VersionManifest) -> Proof:
    drops = pl.read_parquet(folder / DROPS)
    if rows_sha256(drops) != manifest.drops_sha256:
        return _same("sha256 of the dropped rows", DROPS, manifest.drops_sha256,
                     rows_sha256(drops))  # fmt: skip
    return _same("dropped rows by step and rule", DROPS, manifest.dropped, drop_counts(drops))


def _lineage(manifest: VersionManifest) -> Iterator[Proof]:
    """Do the drops of each step, as its own manifest counted them, add up to dropped.parquet?"""
    counted: dict[str, int] = {}
    for item in manifest.lineage:
        if item.counts is not None:
            dropped = sum(item.counts.dropped.values())
            counted[item.step] = counted.get(item.step, 0) + dropped
    held = {step: sum(rules.values()) for step, rules in manifest.dropped.items()}
    expected = {step: n for step, n in counted.items() if n}
    yield _same("dropped rows as each step counted them", MANIFEST, expected, held)
