"""train/stages/data.py: versions by name, folders, and what is wrong with them."""

import json
from pathlib import Path

import polars as pl
import pytest
from tests.train.conftest import example_rows
from tests.train.stages.making import stored_examples, stored_pairs

from whyguard.core.errors import DataError, MissingFileError
from whyguard.core.hashing import rows_sha256
from whyguard.core.schemas import Example
from whyguard.core.tables import frame
from whyguard.core.values import Split
from whyguard.train.config import SftStage
from whyguard.train.stages.data import find_data, read_examples, read_pairs


def _version(datasets: Path, version: str) -> Path:
    """A dataset version as `whyguard run` lays it out."""
    rows = frame(Example, example_rows())
    parts = {split: rows.filter(pl.col("split") == split.value) for split in Split}
    folder = datasets / version
    (folder / "data").mkdir(parents=True)
    for split, part in parts.items():
        part.write_parquet(folder / "data" / f"{split.value}.parquet")
    facts = {"name": version.partition("@")[0], "version": version,
             "rows_sha256": rows_sha256(pl.concat(list(parts.values())))}  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps(facts))
    return folder


def test_versions_are_found_by_name_the_newest_first(tmp_path: Path) -> None:
    for version in (
        "made@2026.01.02",
        "made@2026.01.10",
        "made@2026.01.10.2",
        "other@2027.01.01",
        "made@2027.01.01.bak",
    ):
        _version(tmp_path, version)
    named = {name: find_data(SftStage(data=name, datasets=str(tmp_path))).name
             for name in ("made", "made@2026.01.02")}  # fmt: skip
    assert named == {"made": "made@2026.01.10.2", "made@2026.01.02": "made@2026.01.02"}
    with pytest.raises(MissingFileError, match=r"'made@2026\.1'[\s\S]*did you mean 'made@"):
        find_data(SftStage(data="made@2026.1", datasets=str(tmp_path)))
    with pytest.raises(MissingFileError, match="whyguard run"):
        find_data(SftStage(data="made", datasets=str(tmp_path / "none")))


def test_a_version_is_read_with_its_name_and_hash(tmp_path: Path) -> None:
    folder = _version(tmp_path, "made@2026.01.02")
    found = read_examples(folder)
    assert (found.name, found.rows.height, found.licences) == ("made@2026.01.02", 32,
                                                               ("Apache-2.0",))  # fmt: skip
    assert found.sha256 == json.loads((folder / "manifest.json").read_text())["rows_sha256"]


def test_a_changed_version_is_an_error(tmp_path: Path) -> None:
    folder = _version(tmp_path, "made@2026.01.02")
    train = folder / "data" / "train.parquet"
    pl.read_parquet(train).head(3).write_parquet(train)
    with pytest.raises(DataError, match="changed after it was published"):
        read_examples(folder)
    (folder / "manifest.json").write_text("{}")
    with pytest.raises(DataError, match="KeyError"):
        read_examples(folder)
    (folder / "manifest.json").unlink()
    with pytest.raises(MissingFileError, match="manifest"):
        read_examples(folder)


def test_pairs_are_no_examples(tmp_path: Path) -> None:
    pairs, examples = stored_pairs(tmp_path / "pairs"), stored_examples(tmp_path / "examples")
    assert read_pairs(pairs).rows.height == 12
    with pytest.raises(DataError, match="rows of schema Example"):
        read_examples(pairs)
    with pytest.raises(DataError, match="rows of schema PreferencePair"):
        read_pairs(examples)
    with pytest.raises(MissingFileError, match="no manifest"):
        read_examples(tmp_path)


@pytest.mark.parametrize("content", [b"junk", None])
def test_a_damaged_table_of_a_version_is_named(content: bytes | None, tmp_path: Path) -> None:
    table = _version(tmp_path, "made@2026.01.02") / "data" / "train.parquet"
    if content is None:
        pl.read_parquet(table).drop("text").write_parquet(table)
    else:
        table.write_bytes(content)
    with pytest.raises(DataError, match=r"train\.parquet"):
        read_examples(table.parents[1])
