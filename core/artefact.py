"""An artefact: a folder with rows, drops, extra files and a manifest that is written last."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import polars as pl
from pydantic import BaseModel, ConfigDict, ValidationError

from whyguard.core.drafts import draft_folder, flush_to_disk
from whyguard.core.errors import ArtefactError, ConfigError, MissingFileError, fail
from whyguard.core.hashing import rows_sha256, sha256_folder, sha256_json
from whyguard.core.provenance import Provenance
from whyguard.core.schemas import Dropped
from whyguard.core.tables import SchemaType, schema_name, schema_sha256, validated

MANIFEST = "manifest.json"
ROWS = "rows.parquet"
DROPS = "dropped.parquet"
FILES = "files"


class ModelUse(BaseModel):
    """A model that took part: its reference, revision or content hash, and licence."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    reference: str
    revision: str
    licence: str
    role: str


class Counts(BaseModel):
    """Rows read, kept and dropped; `read` is None for steps that do not read row for row."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kept: int
    dropped: dict[str, int]
    read: int | None = None


class InputUse(BaseModel):
    """One input artefact of a step: where it stood and what it held."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    step: str
    key: str
    content_sha256: str


class Manifest(BaseModel):
    """Everything a reader needs to trust, trace and rerun an artefact."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    step: str
    step_version: str
    key: str
    schema_name: str
    schema_sha256: str
    rows_sha256: str
    drops_sha256: str
    files: dict[str, str]
    counts: Counts
    config: dict[str, Any]
    inputs: dict[str, tuple[InputUse, ...]]
    models: tuple[ModelUse, ...] = ()
    licences: tuple[str, ...] = ()
    notes: dict[str, Any] = {}
    runtime: dict[str, Any] = {}
    seconds: float = 0.0
    provenance: Provenance

    @property
    def content_sha256(self) -> str:
        """Hash of what later steps can see: schema, rows and files (drops are not read on)."""
        return sha256_json([self.schema_name, self.rows_sha256, self.files])


class Artefact:
    """A stored artefact. Tables are verified against the manifest whenever they are read."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder = folder
        self.manifest = manifest

    @property
    def files(self) -> Path:
        """The folder of extra files (a model, a report); may not exist."""
        return self.folder / FILES

    def rows(self) -> pl.DataFrame:
        """The rows.

        Raises:
            ArtefactError: the rows are not the ones the manifest speaks of.
        """
        return self._table("rows", ROWS, self.manifest.rows_sha256)

    def drops(self) -> pl.DataFrame:
        """The dropped rows, verified like `rows`."""
        return self._table("drops", DROPS, self.manifest.drops_sha256)

    def verify(self) -> None:
        """Re-prove every hash and every count of the folder.

        Raises:
            ArtefactError: a table, a file or a count differs from the manifest.
        """
        rows, drops = self.rows(), self.drops()
        counts = [rows.height, _by_rule(drops)]
        stated = [self.manifest.counts.kept, self.manifest.counts.dropped]
        self._verify("counts", MANIFEST, sha256_json(counts), sha256_json(stated))
        found = sha256_folder(self.files) if self.files.is_dir() else {}
        self._verify("files", FILES, sha256_json(found), sha256_json(self.manifest.files))

    def _table(self, what: str, name: str, expected: str) -> pl.DataFrame:
        try:
            table = pl.read_parquet(self.folder / name)
        except (OSError, pl.exceptions.PolarsError) as error:
            fail(ArtefactError, where=str(self.folder / name), expected=f"a table of {what}",
                 found=str(error).split("\n", 1)[0],
                 do=f"delete the folder {self.folder} and run again")  # fmt: skip
        self._verify(what, name, rows_sha256(table), expected)
        return table

    def _verify(self, what: str, name: str, found: str, expected: str) -> None:
        if found != expected:
            fail(
                ArtefactError,
                where=str(self.folder / name),
                expected=f"{what} with sha256 {expected[:16]}",
                found=f"sha256 {found[:16]}: changed after it was written",
                do=f"delete the folder {self.folder} and run again",
            )


def _by_rule(drops: pl.DataFrame) -> dict[str, int]:
    return dict(drops["rule"].value_counts().sort("rule").iter_rows())


def load_artefact(folder: Path) -> Artefact:
    """Open the artefact in `folder`.

    Raises:
        MissingFileError: there is no manifest, so there is no artefact.
        ArtefactError: the manifest cannot be read.
    """
    path = folder / MANIFEST
    if not path.is_file():
        fail(
            MissingFileError,
            where=str(folder),
            expected=f"a folder with {MANIFEST}",
            found="no manifest" if folder.is_dir() else "no such folder",
            do="run the recipe that makes it",
        )
    try:
        return Artefact(folder, Manifest.model_validate_json(path.read_bytes()))
    except ValidationError as error:
        fail(
            ArtefactError,
            where=str(path),
            expected="a manifest of format 1",
            found=f"{error.error_count()} problems, first: {error.errors()[0]['msg']}",
            do="delete the folder and run again",
        )


class ArtefactDraft:
    """A folder being written: nothing is visible under its name until `commit`.

    Raises:
        ConfigError: under that name lies what no artefact holds.
    """

    def __init__(self, target: Path) -> None:
        _check_ours(target)
        self._target = target
        self.folder = draft_folder(target.parent)

    @property
    def files(self) -> Path:
        """Where a step writes its extra files."""
        folder = self.folder / FILES
        folder.mkdir(exist_ok=True)
        return folder

    def commit(self, schema: SchemaType, rows: pl.DataFrame, drops: pl.DataFrame,
               facts: Mapping[str, Any]) -> Artefact:  # fmt: skip
        """Validate and write tables, then the manifest, then rename into place.

        `facts` are the manifest's fields that the writer cannot know. If another process put the
        same artefact there first, theirs stays and this draft is thrown away.
        """
        rows = validated(schema, rows, f"rows of step {facts['step']}")
        drops = validated(Dropped, drops, f"drops of step {facts['step']}")
        rows.write_parquet(self.folder / ROWS)
        drops.write_parquet(self.folder / DROPS)
        extra = self.folder / FILES
        manifest = Manifest(
            schema_name=schema_name(schema),
            schema_sha256=schema_sha256(schema),
            rows_sha256=rows_sha256(rows),
            drops_sha256=rows_sha256(drops),
            files=sha256_folder(extra) if extra.is_dir() else {},
            **facts,
        )
        (self.folder / MANIFEST).write_text(manifest.model_dump_json(indent=2), "utf-8")
        return self._place(manifest)

    def discard(self) -> None:
        """Remove the unfinished folder."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _place(self, manifest: Manifest) -> Artefact:
        for path in (*self.folder.rglob("*"), self.folder):
            if path.is_file() or path.is_dir():
                flush_to_disk(path)
        try:
            self._rename()
        except OSError:
            if not (self._target / MANIFEST).is_file():
                raise
            self.discard()
            return load_artefact(self._target)
        flush_to_disk(self._target.parent)
        return Artefact(self._target, manifest)

    def _rename(self) -> None:
        try:
            self.folder.rename(self._target)
        except OSError:
            if not self._target.is_dir() or (self._target / MANIFEST).is_file():
                raise
            # No manifest, no artefact: what half a deletion left must not block the name for ever.
            leftover = draft_folder(self._target.parent)
            self._target.rename(leftover)
            shutil.rmtree(leftover, ignore_errors=True)
            self.folder.rename(self._target)


def _check_ours(target: Path) -> None:
    """An artefact takes the place of what half a deletion left of one, of nothing else."""
    if target.is_dir():
        found = sorted({path.name for path in target.iterdir()} - {MANIFEST, ROWS, DROPS, FILES})
    else:
        found = ["a file of that name"] if target.exists() else []
    if found and not (target / MANIFEST).is_file():
        fail(ConfigError, where=str(target), expected="an empty or new folder, or an artefact's",
             found=f"what no artefact holds: {', '.join(found[:3])}",
             do="name another folder")  # fmt: skip
