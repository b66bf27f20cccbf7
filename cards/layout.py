"""What a dataset version's folder looks like, and how versions are named, found and placed."""

import datetime
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from whyguard.core.artefact import Counts, InputUse, ModelUse
from whyguard.core.drafts import draft_folder, flush_to_disk
from whyguard.core.errors import ArtefactError, ConfigError, MissingFileError, fail
from whyguard.core.nearest import suggest
from whyguard.core.schemas import LANGUAGE_PATTERN
from whyguard.core.steps import StepConfig
from whyguard.core.values import Split

MANIFEST = "manifest.json"
CARD = "README.md"
DROPS = "dropped.parquet"
NAME_PATTERN = r"^[a-z0-9][a-z0-9_-]*$"
_VERSION = re.compile(
    r"^(?P<name>[a-z0-9][a-z0-9_-]*)@(?P<date>\d{4}\.\d{2}\.\d{2})(?:\.(?P<n>\d+))?$"
)


def split_file(split: str) -> str:
    """Path of a split's table inside a version."""
    return f"data/{split}.parquet"


class VersionConfig(StepConfig):
    """What a version is called and what its card says beyond the figures."""

    name: str = Field(pattern=NAME_PATTERN)
    title: str = Field(min_length=1)
    description: str = ""
    licence: str = Field(min_length=1)
    """Licence of the whole (SPDX); each row keeps the licence of its source."""
    train_language: str | None = Field(default=None, pattern=LANGUAGE_PATTERN)
    """The low-resource language that guards are trained on."""
    related_languages: tuple[str, ...] = ()
    """Languages on which transfer is measured."""
    human_translators: tuple[str, ...] = ()
    """Beginnings of `translator` values that name people; any other is counted as a machine."""
    review_notice: str = ""
    """A sentence of one's own about who has checked what; shown under the computed one."""
    rerun: str = ""
    """The command that makes this version again; by default the one that made it."""


class VersionId(NamedTuple):
    """`name@YYYY.MM.DD[.N]`; N is 0 for the first version of a day, which does not show it."""

    name: str
    date: str
    number: int

    def __str__(self) -> str:
        suffix = f".{self.number}" if self.number else ""
        return f"{self.name}@{self.date}{suffix}"


def parse_version(text: str) -> VersionId | None:
    """The parts of a version's name, or None where `text` is none."""
    match = _VERSION.match(text)
    if not match:
        return None
    return VersionId(match["name"], match["date"], int(match["n"] or 0))


class SplitFacts(BaseModel):
    """One table of a version."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str
    rows: int
    groups: int
    rows_sha256: str


class UpstreamStep(BaseModel):
    """One step on the way to a version, as its manifest told it; `found` is false where the store
    no longer holds it (then only its key is known)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    step: str
    key: str
    content_sha256: str
    found: bool = True
    step_version: str = ""
    rows_sha256: str = ""
    counts: Counts | None = None
    config: dict[str, Any] = {}
    inputs: dict[str, tuple[InputUse, ...]] = {}
    models: tuple[ModelUse, ...] = ()
    licences: tuple[str, ...] = ()
    packages: dict[str, str] = {}
    notes: dict[str, Any] = {}
    """What the step said of its result: yields, coverage, agreement."""


class VersionManifest(BaseModel):
    """What a version holds and where it came from; written last."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = 1
    name: str
    version: str
    title: str
    licence: str
    key: str
    created_at: str
    command: str
    """The command that makes it again."""
    schema_name: str
    schema_sha256: str
    rows: int
    rows_sha256: str
    splits: dict[Split, SplitFacts]
    dropped: dict[str, dict[str, int]]
    """Step -> rule -> rows in dropped.parquet."""
    drops_sha256: str
    files: dict[str, str]
    """Relative path -> sha256 of its bytes, for every file but this one."""
    languages: tuple[str, ...]
    lineage: tuple[UpstreamStep, ...]
    """From the version's own step back to the first readers."""


def version_dtypes(table: pl.DataFrame) -> pl.DataFrame:
    """The table with closed sets as plain strings, so that any parquet reader takes it."""
    casts = []
    for name, dtype in table.schema.items():
        if isinstance(dtype, pl.Enum | pl.Categorical):
            casts.append(pl.col(name).cast(pl.String))
        elif isinstance(dtype, pl.List) and isinstance(dtype.inner, pl.Enum | pl.Categorical):
            casts.append(pl.col(name).cast(pl.List(pl.String)))
    return table.with_columns(casts)


def in_split_order(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows, all of train before dev before test, otherwise in their order."""
    return pl.concat([rows.filter(pl.col("split") == split.value) for split in Split])


def read_manifest(folder: Path) -> VersionManifest:
    """The manifest of the version in `folder`.

    Raises:
        MissingFileError: there is none.
        ArtefactError: it cannot be read.
    """
    path = folder / MANIFEST
    if not path.is_file():
        fail(MissingFileError, where=str(folder), expected=f"a dataset version with {MANIFEST}",
             found="no manifest" if folder.is_dir() else "no such folder",
             do="`whyguard dataset list` names the versions there are")  # fmt: skip
    try:
        return VersionManifest.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file"
        fail(ArtefactError, where=str(path), expected="a version's manifest of format 1",
             found=f"{place}: {first['msg']}",
             do="the file was changed or cut off: publish the version again")  # fmt: skip


def find_versions(datasets: Path, name: str | None = None) -> list[VersionId]:
    """The finished versions in the folder, by name, oldest first."""
    found = []
    for path in datasets.iterdir() if datasets.is_dir() else ():
        version = parse_version(path.name)
        if version and (path / MANIFEST).is_file() and name in (None, version.name):
            found.append(version)
    return sorted(found)


def find_version(datasets: Path, text: str) -> Path:
    """The folder of NAME (its latest version) or NAME@VERSION.

    Raises:
        MissingFileError: there is none; the message names the nearest.
    """
    known = find_versions(datasets)
    exact = [v for v in known if str(v) == text] or [v for v in known if v.name == text]
    if exact:
        return datasets / str(exact[-1])
    names = {str(v) for v in known} if "@" in text else {v.name for v in known}
    hint = suggest(text, names) if known else "run a recipe with a cards.version step first"
    fail(MissingFileError, where=str(datasets), expected="the name of a dataset version",
         found=f"'{text}'", do=hint)  # fmt: skip


def numbered(name: str, today: datetime.date) -> Iterator[VersionId]:
    """Names for a new version of that day, in the order they are tried."""
    if not re.match(NAME_PATTERN, name):
        fail(ConfigError, where="name", expected="small letters, digits, - and _",
             found=f"'{name}'", do="rename it")  # fmt: skip
    number = 0
    while True:
        yield VersionId(name, today.strftime("%Y.%m.%d"), number)
        number += 1


def place_folder(parent: Path, target: Path, write: Callable[[Path], None]) -> bool:
    """Write a folder under a temporary name, flush it to disk, then rename it to `target`.

    Returns False, and leaves nothing behind, where `target` was there already.
    """
    draft = draft_folder(parent)
    try:
        write(draft)
        for path in [*draft.rglob("*"), draft]:
            flush_to_disk(path)
        try:
            draft.rename(target)
        except OSError:
            if not target.is_dir():
                raise
            return False
        flush_to_disk(parent)
        return True
    finally:
        shutil.rmtree(draft, ignore_errors=True)
