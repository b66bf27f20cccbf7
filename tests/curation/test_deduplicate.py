import csv
import json
import os
import subprocess
import sys
from itertools import combinations
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from whyguard.core.hashing import rows_sha256
from whyguard.core.schemas import Prompt
from whyguard.core.tables import frame
from whyguard.curation.deduplicate import (
    DEDUPLICATE,
    DeduplicateConfig,
    bands_for,
    deduplicate,
    find_alike,
    jaccard,
    shingles_of,
)
from whyguard.curation.normalise import fold

CONFIG = DeduplicateConfig()
LONG = "please water the seven tomato plants behind the old station every other evening"
NEAR = "please water the seven tomato plants behind the old station every other morning"


def _prompt(name: str, text: str, label: str = "harmful", language: str = "eng_Latn",
            group: str | None = None, source: str = "a") -> dict[str, Any]:  # fmt: skip
    family = f"{source}:{name}"
    return {
        "prompt_id": f"{family}:{language}",
        "family_id": family,
        "group_id": f"{source}:{group or name}",
        "source": source,
        "source_row": name,
        "licence": "CC0-1.0",
        "language": language,
        "text": text,
        "label": label,
        "label_sense": "request",
        "categories": ["S2"] if label == "harmful" else [],
        "edits": [],
        "signals": [],
    }


def _table(*rows: dict[str, Any]) -> pl.DataFrame:
    return frame(Prompt, rows)


def _drops(found: pl.DataFrame) -> list[tuple[Any, ...]]:
    return found.select("row_id", "rule", "reason").rows()


def test_exact_and_near_duplicates_across_sources() -> None:
    found = deduplicate(
        _table(
            _prompt("1", LONG),
            _prompt("2", "Something else entirely, about boats"),
            _prompt("1", f"  {LONG.upper()}", source="b"),
            _prompt("3", NEAR),
        ),
        CONFIG,
    )
    assert found.rows["prompt_id"].to_list() == ["a:1:eng_Latn", "a:2:eng_Latn"]
    similarity = jaccard(shingles_of(LONG, 5), shingles_of(NEAR, 5))
    assert _drops(found.drops) == [
        ("b:1:eng_Latn", "exact_duplicate", "absorbed by a:1:eng_Latn"),
        ("a:3:eng_Latn", "near_duplicate",
         f"absorbed by a:1:eng_Latn (similarity {similarity:.2f})"),
    ]  # fmt: skip
    assert found.read == 4
    assert json.loads(found.drops["row"][0])["source"] == "b"


def test_languages_are_kept_apart() -> None:
    rows = _table(_prompt("1", LONG), _prompt("2", LONG, language="spa_Latn"))
    found = deduplicate(rows, CONFIG)
    assert found.rows.height == 2
    assert found.rows["group_id"].to_list() == ["a:1", "a:2"]


def test_contrast_twins_stay_in_one_group() -> None:
    rows = _table(_prompt("2", LONG), _prompt("1", NEAR, "unharmful"))
    found = deduplicate(rows, CONFIG)
    assert found.rows["group_id"].to_list() == ["a:1", "a:1"]
    assert found.notes["near_pairs_of_unlike_label"] == 1


def test_conflicting_labels_go_on_both_sides() -> None:
    rows = _table(_prompt("1", LONG), _prompt("2", LONG, "unharmful"), _prompt("3", LONG),
                  _prompt("4", "another text"))  # fmt: skip
    found = deduplicate(rows, CONFIG)
    assert found.rows["prompt_id"].to_list() == ["a:4:eng_Latn"]
    assert _drops(found.drops) == [
        ("a:1:eng_Latn", "label_conflict", "same text as a:2:eng_Latn, labelled unharmful"),
        ("a:2:eng_Latn", "label_conflict", "same text as a:1:eng_Latn, labelled harmful"),
        ("a:3:eng_Latn", "label_conflict", "same text as a:2:eng_Latn, labelled unharmful"),
    ]


def test_a_family_goes_with_all_its_languages() -> None:
    rows = _table(
        _prompt("1", LONG),
        _prompt("2", NEAR),
        _prompt("2", "riega las plantas de tomate, por favor", language="spa_Latn"),
    )
    found = deduplicate(rows, CONFIG)
    assert found.rows["prompt_id"].to_list() == ["a:1:eng_Latn"]
    assert found.drops["rule"].to_list() == ["near_duplicate", "family_dropped"]
    assert "a:2:eng_Latn of its family went: absorbed by a:1:eng_Latn" in found.drops["reason"][1]


def test_a_dropped_row_absorbs_nothing() -> None:
    rows = _table(
        _prompt("1", "first text in Spanish", language="spa_Latn"),
        _prompt("2", "first text in Spanish", language="spa_Latn"),
        _prompt("2", LONG),
        _prompt("3", LONG),
    )
    found = deduplicate(rows, CONFIG)
    assert found.rows["prompt_id"].to_list() == ["a:1:spa_Latn", "a:3:eng_Latn"]
    assert found.rows["group_id"].to_list() == ["a:1", "a:1"]


def test_a_repeat_inside_a_family_costs_that_row_only() -> None:
    twice = _prompt("1", LONG) | {"prompt_id": "a:1b:eng_Latn"}
    spanish = _prompt("1", "otra cosa", language="spa_Latn")
    found = deduplicate(_table(_prompt("1", LONG), twice, spanish), CONFIG)
    assert found.rows["prompt_id"].to_list() == ["a:1:eng_Latn", "a:1:spa_Latn"]
    assert _drops(found.drops) == [
        ("a:1b:eng_Latn", "exact_duplicate", "absorbed by a:1:eng_Latn")
    ]  # fmt: skip


def test_groups_join_through_dropped_rows_and_take_the_smallest_name() -> None:
    rows = _table(
        _prompt("h", LONG, group="z"),
        _prompt("b", "a benign twin in the same group", "unharmful", group="z"),
        _prompt("k", NEAR, group="c"),
        _prompt("m", "the twin of the absorbed prompt", "unharmful", group="c"),
    )
    found = deduplicate(rows, CONFIG)
    assert found.rows["source_row"].to_list() == ["h", "b", "m"]
    assert found.rows["group_id"].to_list() == ["a:c"] * 3
    assert (found.notes["groups_before"], found.notes["groups_after"]) == (2, 1)


def test_nothing_in_nothing_out() -> None:
    found = deduplicate(_table(), CONFIG)
    assert (found.rows.height, found.drops.height, found.read) == (0, 0, 0)


_WORDS = st.lists(
    st.sampled_from(["red", "blue", "old", "new", "boat", "tree", "sings", "runs"]), max_size=6
)
_ROW = st.tuples(
    _WORDS.map(" ".join).map(lambda text: text or "x"),
    st.sampled_from(["harmful", "unharmful"]),
    st.sampled_from(["eng_Latn", "spa_Latn"]),
    st.integers(0, 5),
)


@settings(max_examples=80, deadline=None)
@given(st.lists(_ROW, max_size=12), st.sampled_from([0.5, 0.8, 1.0]))
def test_what_is_left_holds_no_duplicates(
    rows: list[tuple[str, str, str, int]], threshold: float
) -> None:
    table = _table(*(
        _prompt(str(family), text, label, language) | {"prompt_id": f"p{number}"}
        for number, (text, label, language, family) in enumerate(rows)
    ))  # fmt: skip
    config = DeduplicateConfig(threshold=threshold)
    found = deduplicate(table, config)
    assert found.rows.height + found.drops.height == len(rows)
    kept = set(found.rows["prompt_id"])
    for reason in found.drops.filter(pl.col("rule").str.ends_with("duplicate"))["reason"]:
        assert reason.split()[2] in kept
    for one, other in combinations(found.rows.to_dicts(), 2):
        if one["language"] != other["language"]:
            continue
        pair = [shingles_of(fold(row["text"]), config.shingle) for row in (one, other)]
        if jaccard(*pair) >= threshold:
            assert one["group_id"] == other["group_id"]
            assert one["label"] != other["label"]


@pytest.mark.parametrize("threshold", [0.5, 0.6, 0.8])
def test_index_misses_no_pair_of_advbench(shared_data: Path, threshold: float) -> None:
    path = shared_data / "advbench" / "advbench_behaviors.csv"
    with path.open(encoding="utf-8-sig", newline="") as stream:
        texts = [row["Behavior"] for row in csv.DictReader(stream)]
    shingles = [shingles_of(fold(text), 5) for text in texts]
    every = {(a, b) for a, b in combinations(range(len(texts)), 2)
             if jaccard(shingles[a], shingles[b]) >= threshold}  # fmt: skip
    config = DeduplicateConfig(threshold=threshold)
    found = find_alike(texts, ["eng_Latn"] * len(texts), config)
    assert {(pair.first, pair.second) for pair in found.near} == every
    assert len({row for pair in every for row in pair}) == {0.5: 173, 0.6: 111, 0.8: 28}[threshold]


@pytest.mark.parametrize(("threshold", "bands"), [(0.5, 64), (0.8, 32), (0.95, 16), (1.0, 1)])
def test_bands(threshold: float, bands: int) -> None:
    assert bands_for(threshold) == bands


def test_shingles_and_jaccard() -> None:
    assert shingles_of("abc", 5) == {"abc"}
    assert shingles_of("abcdef", 5) == {"abcde", "bcdef"}
    assert jaccard(frozenset("ab"), frozenset("bc")) == pytest.approx(1 / 3)


_SCRIPT = """
import sys, polars as pl
from whyguard.core.hashing import rows_sha256
from whyguard.curation.deduplicate import DeduplicateConfig, deduplicate
found = deduplicate(pl.read_parquet(sys.argv[1]), DeduplicateConfig(threshold=0.5))
print(rows_sha256(found.rows), rows_sha256(found.drops))
"""


def test_same_rows_in_a_second_process(tmp_path: Path) -> None:
    words = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
    texts = [" ".join(words[n % k :] + words[: n % k]) for n in range(40) for k in (3, 7)]
    table = _table(*(_prompt(f"{n}", text) for n, text in enumerate(texts)))
    table.write_parquet(tmp_path / "rows.parquet")
    found = deduplicate(table, DeduplicateConfig(threshold=0.5))
    here = f"{rows_sha256(found.rows)} {rows_sha256(found.drops)}"
    assert found.drops.height > 0
    there = subprocess.run(
        [sys.executable, "-c", _SCRIPT, str(tmp_path / "rows.parquet")],
        env=os.environ | {"PYTHONHASHSEED": "7"}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert there.stdout.strip() == here


def test_declaration_and_config() -> None:
    assert DEDUPLICATE.output is Prompt
    with pytest.raises(ValidationError, match="less than or equal to 1"):
        DeduplicateConfig(threshold=1.5)
