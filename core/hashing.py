"""Content hashes: canonical JSON, files, folders and tables."""

import hashlib
import json
from pathlib import Path

import polars as pl

_CHUNK_BYTES = 1 << 20
_CHUNK_ROWS = 50_000
_SEED_DIGITS = 15


def canonical_json(value: object) -> str:
    """JSON with sorted keys, no spaces and no NaN: equal values give equal text.

    Raises:
        ValueError: the value holds NaN or infinity.
        TypeError: the value holds something JSON has no form for.
    """
    return json.dumps(
        value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False
    )


def sha256_text(text: str) -> str:
    """Hex sha256 of the UTF-8 form of `text`."""
    return hashlib.sha256(text.encode()).hexdigest()


def sha256_json(value: object) -> str:
    """Hex sha256 of the canonical JSON of `value`."""
    return sha256_text(canonical_json(value))


def seed_of(facts: object) -> int:
    """A 60-bit seed of what a draw is for: the same wherever and beside whatever it is drawn."""
    return int(sha256_json(facts)[:_SEED_DIGITS], 16)


def sha256_file(path: Path) -> str:
    """Hex sha256 of a file's bytes, read in chunks."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def sha256_folder(folder: Path) -> dict[str, str]:
    """Hex sha256 of each file below `folder`, keyed by its relative POSIX path, sorted."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): sha256_file(path) for path in files}


def rows_sha256(frame: pl.DataFrame) -> str:
    """Hex sha256 of a table: column names and types, then every row in order as JSON.

    Categorical forms, nested ones too, hash as the strings they stand for, so the hash does not
    depend on how the table was encoded on disk. 1 M rows are hashed in chunks of 50,000.

    Raises:
        ValueError: a column of numbers holds NaN or infinity, which would hash like null.
    """
    _refuse_not_finite(frame)
    types = {name: _plain(dtype) for name, dtype in frame.schema.items()}
    digest = hashlib.sha256(canonical_json(types).encode())
    for start in range(0, frame.height, _CHUNK_ROWS):
        digest.update(frame.slice(start, _CHUNK_ROWS).write_ndjson().encode())
    return digest.hexdigest()


def _plain(dtype: object) -> str:
    if isinstance(dtype, pl.Enum | pl.Categorical):
        return "String"
    if isinstance(dtype, pl.List):
        return f"List({_plain(dtype.inner)})"
    if isinstance(dtype, pl.Struct):
        fields = ", ".join(f"{field.name!r}: {_plain(field.dtype)}" for field in dtype.fields)
        return f"Struct({{{fields}}})"
    return str(dtype)


def _refuse_not_finite(frame: pl.DataFrame) -> None:
    for column in frame.select(pl.selectors.float()).iter_columns():
        if column.is_finite().not_().any():
            raise ValueError(f"column '{column.name}' holds NaN or infinity: it has no hash")
