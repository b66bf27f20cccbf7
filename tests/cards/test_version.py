"""`cards.version` through the real engine: layout, immutability, group safety."""

import json
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from whyguard.cards.check import check_version
from whyguard.cards.layout import VersionConfig, read_manifest
from whyguard.cards.version import publish
from whyguard.core.artefact import load_artefact
from whyguard.core.engine import Finished
from whyguard.core.errors import ConfigError, DataError
from whyguard.core.schemas import Example
from whyguard.core.steps import Workspace
from whyguard.core.tables import Row, validated

Make = Callable[..., Finished]


def test_layout_and_hashes(version: Path) -> None:
    names = {p.relative_to(version).as_posix() for p in version.rglob("*") if p.is_file()}
    assert names == {"data/train.parquet", "data/dev.parquet", "data/test.parquet",
                     "dropped.parquet", "README.md", "manifest.json"}  # fmt: skip
    manifest = read_manifest(version)
    assert manifest.rows == 72
    assert {split: facts.rows for split, facts in manifest.splits.items()} == {
        "train": 36, "dev": 12, "test": 24}  # fmt: skip
    assert set(manifest.files) == names - {"manifest.json"}
    assert version.name == f"{manifest.name}@{manifest.version}"
    assert not list(version.parent.glob(".tmp-*"))


def test_rows_hash_equals_the_artefact(make_version: Make, rows: list[Row]) -> None:
    done = make_version(rows)
    folder = done.published[0].path
    parts = [
        pl.read_parquet(folder / f"data/{split}.parquet") for split in ("train", "dev", "test")
    ]
    together = validated(Example, pl.concat(parts))
    assert together.equals(done.artefact.rows())
    assert read_manifest(folder).rows_sha256 == done.artefact.manifest.rows_sha256


@pytest.mark.slow
def test_datasets_loads_it(version: Path, tmp_path: Path) -> None:
    import datasets

    loaded = datasets.load_dataset(str(version), cache_dir=str(tmp_path / "cache"))
    assert {split: part.num_rows for split, part in loaded.items()} == {
        "train": 36, "dev": 12, "test": 24}  # fmt: skip
    first = loaded["train"][0]
    assert first["label"] == "harmful" and first["categories"] == ["S1"]
    assert first["signals"] == [{"name": "unknown_words", "value": 0.5}]


def test_empty_splits_are_left_out(make_version: Make, rows: list[Row]) -> None:
    kept = [row for row in rows if row["split"] != "dev"]
    folder = make_version(kept).published[0].path
    assert sorted(p.name for p in (folder / "data").iterdir()) == ["test.parquet", "train.parquet"]
    assert "split: dev" not in (folder / "README.md").read_text("utf-8")


def test_the_same_key_is_reused_and_a_new_one_gets_the_next_number(
    make_version: Make, rows: list[Row]
) -> None:
    first, again = make_version(rows), make_version(rows)
    assert [p.note for p in first.published] == ["new", "new"]
    assert [p.note for p in again.published] == ["reused", "reused"]
    assert first.published[0].path == again.published[0].path
    before = (first.published[0].path / "manifest.json").read_bytes()
    second = make_version(rows[:-6])
    third = make_version(rows[:-12])
    day = first.published[0].path.name
    assert second.published[0].path.name == f"{day}.1"
    assert third.published[0].path.name == f"{day}.2"
    assert (first.published[0].path / "manifest.json").read_bytes() == before


def test_a_new_drop_upstream_makes_a_new_version(make_version: Make, rows: list[Row]) -> None:
    first = make_version(rows)
    second, again = make_version(rows, bad=2), make_version(rows, bad=2)
    assert (second.reused, again.reused) == (False, True)
    assert second.artefact.manifest.rows_sha256 == first.artefact.manifest.rows_sha256
    folder = second.published[0].path
    assert folder.name == f"{first.published[0].path.name}.1"
    assert [p.note for p in again.published] == ["reused", "reused"]
    drops = [pl.read_parquet(step.published[0].path / "dropped.parquet")["row_id"].to_list()
             for step in (first, second, again)]  # fmt: skip
    assert drops == [["made:x0"], ["made:x0", "made:x1"], ["made:x0", "made:x1"]]
    manifest = read_manifest(folder)
    assert manifest.dropped == {"made.source": {"bad_label": 2}}
    assert manifest.lineage[2].counts is not None and manifest.lineage[2].counts.read == 74
    assert all(proof.ok for proof in check_version(folder))


def test_lineage_and_drops_of_every_step(version: Path) -> None:
    manifest = read_manifest(version)
    assert [item.step for item in manifest.lineage] == ["cards.version", "made.filter",
                                                        "made.source"]  # fmt: skip
    assert manifest.lineage[1].step_version == "3"
    assert manifest.lineage[2].counts is not None and manifest.lineage[2].counts.read == 73
    drops = pl.read_parquet(version / "dropped.parquet").to_dicts()
    assert [(d["step"], d["rule"], d["where"]) for d in drops] == [
        ("made.source", "bad_label", "made.csv:7")
    ]
    assert manifest.dropped == {"made.source": {"bad_label": 1}}


def test_a_step_gone_from_the_store_is_said(
    make_version: Make, workspace: Workspace, rows: list[Row]
) -> None:
    done = make_version(rows)
    for folder in (workspace.store / "made.source").iterdir():
        (folder / "manifest.json").unlink()
    folder = done.published[0].path
    folder.rename(folder.with_name("away"))
    config = done.artefact.manifest.config
    laid = publish(load_artefact(done.artefact.folder), VersionConfig(**config), workspace)
    manifest = read_manifest(laid[0].path)
    assert [(item.step, item.found) for item in manifest.lineage][-1] == ("made.source", False)
    assert "no longer in the store" in (laid[0].path / "README.md").read_text("utf-8")


@pytest.mark.parametrize("unit", ["group_id", "family_id"])
def test_torn_groups_are_an_error(make_version: Make, rows: list[Row], unit: str) -> None:
    torn = next(row for row in rows if row["split"] == "test")
    torn[unit] = next(row[unit] for row in rows if row["split"] == "train")
    with pytest.raises(DataError, match=rf"every {unit} in one split only[\s\S]*made:000"):
        make_version(rows)


def test_a_language_without_rows_is_an_error(make_version: Make, rows: list[Row]) -> None:
    with pytest.raises(ConfigError, match="'oci_Latn' has no rows"):
        make_version(rows, related_languages=("oci_Latn",))


def test_categories_that_are_never_released_are_dropped_without_text(
    make_version: Make, rows: list[Row]
) -> None:
    rows[0]["categories"] = ["S1", "S4"]
    done = make_version(rows)
    drops = pl.read_parquet(done.published[0].path / "dropped.parquet")
    kept = drops.filter(pl.col("rule") == "category_not_released").to_dicts()
    assert [d["row_id"] for d in kept] == [rows[0]["example_id"]]
    assert "placeholder" not in kept[0]["row"]
    assert done.artefact.rows().height == 71


def test_rows_of_no_machine_paths_or_runtime(version: Path) -> None:
    text = (version / "manifest.json").read_text("utf-8")
    assert "/home/" not in text and "base_url" not in text
    assert json.loads(text)["command"] == "whyguard run RECIPE.yaml"
