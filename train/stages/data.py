"""What a stage reads: a dataset version or another folder of examples, or a folder of pairs."""

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from whyguard.core.artefact import load_artefact
from whyguard.core.errors import ConfigError, DataError, MissingFileError, fail
from whyguard.core.hashing import rows_sha256
from whyguard.core.nearest import suggest
from whyguard.core.schemas import Example
from whyguard.core.tables import SchemaType, validated
from whyguard.core.values import Split
from whyguard.train.config import StageConfig

_MANIFEST, _ROWS = "manifest.json", "rows.parquet"
_VERSION = re.compile(r"[^@]+@\d{4}\.\d{2}\.\d{2}(\.\d+)?")
"""NAME@DATE or NAME@DATE.N: other folders, copies say, are not versions."""


class StageData(NamedTuple):
    """A table, and what to call it."""

    rows: pl.DataFrame
    name: str
    """NAME@VERSION, or the folder's name."""
    sha256: str
    licences: tuple[str, ...]


def find_data(config: StageConfig) -> Path:
    """The folder that a config's `data` names.

    Raises:
        ConfigError: it names nothing.
        MissingFileError: there is no such folder or version; the nearest is named.
    """
    if config.data is None:
        fail(ConfigError, where=f"stage {config.stage}: data", expected="a dataset version "
             "NAME@DATE or a folder", found="nothing",
             do="set data (or --set data=FOLDER)")  # fmt: skip
    folder = Path(config.data).expanduser()
    if folder.is_dir():
        return folder
    versions = Path(config.datasets).expanduser()
    found = sorted((p for p in versions.glob("*@*") if _VERSION.fullmatch(p.name)
                    and (p / _MANIFEST).is_file()), key=_order)  # fmt: skip
    exact = [p for p in found if p.name == config.data] or [
        p for p in found if p.name.partition("@")[0] == config.data]  # fmt: skip
    if exact:
        return exact[-1]
    names = {name for path in found for name in (path.name, path.name.partition("@")[0])}
    fail(MissingFileError, where=f"stage {config.stage}: data", expected="a folder, or a dataset "
         f"version in {versions}", found=f"'{config.data}'",
         do=suggest(config.data, names) if names else "check the path; `whyguard run` makes "
         "versions, --set datasets=DIR says where they are")  # fmt: skip


def read_examples(folder: Path) -> StageData:
    """The examples of a dataset version, or of a step's artefact.

    Raises:
        MissingFileError: the folder holds neither.
        DataError: the rows are not examples, or not those the manifest speaks of.
    """
    tables = [folder / "data" / f"{split.value}.parquet" for split in Split]
    there = [path for path in tables if path.is_file()]
    if not there:
        return _artefact(folder, Example)
    facts = _version_facts(folder)
    rows = pl.concat([validated(Example, _table(path), str(path)) for path in there])
    if rows_sha256(rows) != facts["rows_sha256"]:
        fail(DataError, where=str(folder), expected=f"rows with sha256 {facts['rows_sha256'][:16]}",
             found=f"{rows_sha256(rows)[:16]}: changed after it was published",
             do="publish the version again")  # fmt: skip
    return StageData(rows, facts["version"], facts["rows_sha256"], _licences(rows))


def _table(path: Path) -> pl.DataFrame:
    try:
        return pl.read_parquet(path)
    except pl.exceptions.PolarsError as error:
        fail(DataError, where=str(path), expected="a parquet file",
             found=str(error).split("\n", 1)[0][:160],
             do="publish the version again, or restore the file")  # fmt: skip


def read_pairs(folder: Path) -> StageData:
    """The pairs that `whyguard train pairs` wrote.

    Raises:
        MissingFileError: the folder holds none.
        DataError: its rows are not pairs.
    """
    from whyguard.train.pairs import PreferencePair

    return _artefact(folder, PreferencePair)


def _artefact(folder: Path, schema: SchemaType) -> StageData:
    artefact = load_artefact(folder)
    rows = validated(schema, artefact.rows(), str(folder / _ROWS))
    return StageData(rows, folder.resolve().name, artefact.manifest.rows_sha256,
                     artefact.manifest.licences or _licences(rows))  # fmt: skip


def _version_facts(folder: Path) -> dict[str, Any]:
    path = folder / _MANIFEST
    try:
        facts: dict[str, Any] = json.loads(path.read_text("utf-8"))
        name, version = facts["name"], facts["version"]
        shown = version if "@" in version else f"{name}@{version}"
        return {"version": shown, "rows_sha256": facts["rows_sha256"]}
    except FileNotFoundError:
        fail(MissingFileError, where=str(path), expected="a dataset version's manifest",
             found="none", do="publish the version again")  # fmt: skip
    except (ValueError, KeyError, TypeError) as error:
        fail(DataError, where=str(path), expected="a dataset version's manifest",
             found=f"{type(error).__name__}: {error}", do="publish the version again")  # fmt: skip


def _licences(rows: pl.DataFrame) -> tuple[str, ...]:
    return tuple(sorted(set(rows["licence"]))) if "licence" in rows.columns else ()


def _order(path: Path) -> tuple[str, str, int]:
    name, _, version = path.name.partition("@")
    parts = version.split(".")
    return name, ".".join(parts[:3]), int(parts[3]) if len(parts) > 3 else 0
