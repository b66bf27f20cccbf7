"""`dataset check`: what holds is proved, what was changed is named."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from whyguard.cards.check import Proof, check_version, require_proved
from whyguard.core.errors import ArtefactError, MissingFileError


def _failed(folder: Path) -> list[Proof]:
    return [proof for proof in check_version(folder) if not proof.ok]


def _names(folder: Path) -> set[tuple[str, str]]:
    return {(proof.where, proof.what) for proof in _failed(folder)}


def _edit_rows(folder: Path, split: str, change: pl.Expr) -> None:
    file = folder / f"data/{split}.parquet"
    pl.read_parquet(file).with_columns(change).write_parquet(file)


def _edit_manifest(folder: Path, change: Callable[[Any], None]) -> None:
    path = folder / "manifest.json"
    facts = json.loads(path.read_text("utf-8"))
    change(facts)
    path.write_text(json.dumps(facts), "utf-8")


def test_a_fresh_version_holds(version: Path) -> None:
    proofs = check_version(version)
    assert all(proof.ok for proof in proofs)
    assert len(proofs) > 25
    require_proved(version, proofs)


def test_a_changed_row(version: Path) -> None:
    _edit_rows(version, "test", pl.lit("other").alias("text"))
    assert ("data/test.parquet", "sha256 of the rows") in _names(version)
    told = r"data/test.parquet: sha256[\s\S]*expected: [0-9a-f]{64}[\s\S]*found: +[0-9a-f]{64}"
    with pytest.raises(ArtefactError, match=told):
        require_proved(version, check_version(version))


def test_a_lost_row(version: Path) -> None:
    file = version / "data/train.parquet"
    pl.read_parquet(file).head(-1).write_parquet(file)
    assert {("data/train.parquet", "rows"), ("README.md", "counts of the card"),
            ("manifest.json", "rows of all splits")} <= _names(version)  # fmt: skip


def test_a_torn_group_even_with_fitting_hashes(version: Path) -> None:
    _edit_rows(version, "dev", pl.lit("made:000").alias("group_id"))
    torn = [p for p in _failed(version) if p.what.startswith("group safety: no group_id")]
    assert torn and "made:000" in torn[0].found


def test_a_row_in_the_wrong_file(version: Path) -> None:
    _edit_rows(version, "dev", pl.lit("test").alias("split"))
    assert ("data/dev.parquet", "split of its rows") in _names(version)


def test_a_broken_schema(version: Path) -> None:
    _edit_rows(version, "dev", pl.lit("nonsense").alias("label"))
    wrong = [p for p in _failed(version) if p.what == "schema"]
    assert [p.where for p in wrong] == ["data/dev.parquet"]


def test_a_card_that_says_other_counts(version: Path) -> None:
    card = version / "README.md"
    card.write_text(card.read_text("utf-8").replace("| 4 | 4 | 24 |", "| 4 | 5 | 25 |", 1), "utf-8")
    wrong = [p for p in _failed(version) if p.what == "counts of the card"]
    assert "ast_Latn" in wrong[0].expected and "25" in wrong[0].found


def test_a_card_without_front_matter(version: Path) -> None:
    (version / "README.md").write_text("# nothing", "utf-8")
    wrong = [p for p in _failed(version) if p.what == "splits named by the card"]
    assert "no front matter" in wrong[0].found


def test_missing_and_foreign_files(version: Path) -> None:
    (version / "data/dev.parquet").unlink()
    (version / "data/extra.parquet").touch()
    failed = {(p.where, p.what): p for p in _failed(version)}
    assert failed["data/dev.parquet", "sha256 of the file"].found == "no such file"
    assert failed["data/extra.parquet", "sha256 of the file"].do.startswith("take it out")


def test_drops(version: Path) -> None:
    file = version / "dropped.parquet"
    pl.read_parquet(file).clear().write_parquet(file)
    assert ("dropped.parquet", "sha256 of the dropped rows") in _names(version)


def test_drops_that_the_steps_did_not_count(version: Path) -> None:
    def change(facts: Any) -> None:
        facts["lineage"][2]["counts"]["dropped"] = {"bad_label": 9}

    _edit_manifest(version, change)
    assert ("manifest.json", "dropped rows as each step counted them") in _names(version)


def test_a_renamed_folder(version: Path) -> None:
    moved = version.rename(version.with_name("made@2020.01.01"))
    assert _names(moved) == {("manifest.json", "name of the folder")}


def test_no_version_and_a_cut_off_manifest(version: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="no such folder"):
        check_version(tmp_path / "none")
    path = version / "manifest.json"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ArtefactError, match=r"manifest.json[\s\S]*publish the version again"):
        check_version(version)


def test_splits_outside_the_folder_are_refused(version: Path) -> None:
    def change(facts: Any) -> None:
        facts["splits"]["../../x"] = facts["splits"]["dev"]

    _edit_manifest(version, change)
    with pytest.raises(ArtefactError, match="splits"):
        check_version(version)
