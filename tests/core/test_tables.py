"""Tables: nothing is lost on the way in, and a bad row is a drop with its rule."""

import json
from typing import Any

import polars as pl
import pytest
from tests.core.made_steps import prompt

from whyguard.core.errors import DataError
from whyguard.core.schemas import Dropped, Example, Prompt, TrainLog
from whyguard.core.tables import checked, drop, drops_frame, frame, schema_sha256, validated

GOOD = prompt("a", "placeholder")


def test_frame_fills_missing_nullable_columns() -> None:
    table = frame(Prompt, [GOOD])
    assert table.columns == list(Prompt.columns())
    assert table["split"].to_list() == [None]
    assert table.schema["label"] == pl.Enum(["harmful", "unharmful"])


def test_frame_of_nothing_has_the_schema() -> None:
    assert frame(Prompt, []).schema == frame(Prompt, [GOOD]).schema


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"split": "trian"}, "row 2, column 'split'"),
        ({"categories": ["S99"]}, "row 2, column 'categories'"),
        ({"text": 5}, "row 2, column 'text'"),
        ({"text": "\ud800"}, "row 2, column 'text'"),
        ({"signals": [{"name": "x", "value": "high"}]}, "row 2, column 'signals'"),
        ({"signals": [{"name": "x", "value": 1.0, "unit": "s"}]}, "row 2, column 'signals'"),
        ({"translaton_of": "a"}, "unknown: translaton_of\n.*did you mean 'translation_of'"),
        ({"prompt_id": "made:a:eng_Latn"}, "primary_key"),
        ({"language": "en"}, "regex"),
        ({"text": None}, "nullability"),
    ],
)
def test_frame_refuses_what_it_would_lose(change: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        frame(Prompt, [GOOD, prompt("b", "placeholder") | change])


@pytest.mark.parametrize(("column", "value"), [("step", 1.5), ("tokens", 2.7), ("tokens", "x")])
def test_frame_does_not_cut_numbers(column: str, value: object) -> None:
    with pytest.raises(DataError, match=f"row 1, column '{column}'"):
        frame(TrainLog, [{"step": 1, "loss": 0.5} | {column: value}])


def test_frame_accepts_equal_values_of_other_types() -> None:
    row = {"step": 1, "loss": 1, "seconds": True}
    assert frame(TrainLog, [row])["loss"].to_list() == [1.0]
    tuples = prompt("a", "x") | {"categories": ("S1",), "signals": [{"name": "n"}]}
    assert frame(Prompt, [tuples])["signals"].to_list() == [[{"name": "n", "value": None}]]


def test_a_nan_is_no_figure() -> None:
    with pytest.raises(DataError, match="nan"):
        frame(TrainLog, [{"step": 1, "loss": float("nan")}])


def test_validated_names_missing_columns_and_leaves_others_out() -> None:
    table = frame(Prompt, [GOOD])
    assert validated(Prompt, table.with_columns(extra=1)).columns == table.columns
    with pytest.raises(DataError, match=r"here\n.*\n.*no column language, text"):
        validated(Prompt, table.drop("text", "language"), "here")


def test_validated_casts_but_never_cuts() -> None:
    table = frame(TrainLog, [{"step": 1, "loss": 0.5}])
    assert validated(TrainLog, table.cast({"step": pl.Int32})).schema == table.schema
    with pytest.raises(DataError, match="rows of schema Prompt"):
        validated(Prompt, frame(Prompt, [GOOD]).with_columns(label=pl.lit("evil")))


def raw(*rows: dict[str, Any]) -> pl.DataFrame:
    """Rows as a reader has them: all text, nothing checked."""
    base = frame(Prompt, [GOOD])
    types = {name: base.schema[name] for name in ("categories", "edits", "signals")}
    full = [{name: row.get(name) for name in base.columns} for row in rows]
    strings = {name: types.get(name, pl.String) for name in base.columns}
    return pl.DataFrame(full, schema=strings)


def test_checked_turns_bad_rows_into_drops_with_their_rule() -> None:
    bad_label, blank = prompt("b", "x") | {"label": "evil"}, prompt("c", "")
    found = checked(Prompt, raw(GOOD, bad_label, blank), "prompt_id", "file.csv")
    assert found.rows["prompt_id"].to_list() == [GOOD["prompt_id"]]
    assert dict(found.drops.select("row_id", "rule").iter_rows()) == {
        "made:b:eng_Latn": "label_dtype",
        "made:c:eng_Latn": "text_min_length",
    }
    assert found.drops["where"].unique().to_list() == ["file.csv"]
    assert json.loads(found.drops["row"][0])["label"] == "evil"


def test_checked_keeps_every_broken_rule_of_a_row() -> None:
    row = prompt("b", "") | {"language": "en"}
    assert checked(Prompt, raw(row), "prompt_id").drops["rule"].to_list() == [
        "language_regex+text_min_length"
    ]


@pytest.mark.parametrize("name", ["", None])
def test_a_row_without_an_id_is_a_drop_not_an_abort(name: str | None) -> None:
    found = checked(Prompt, raw(GOOD, prompt("b", "x") | {"prompt_id": name}), "prompt_id")
    assert (found.rows.height, found.drops.height) == (1, 1)
    assert "prompt_id" in found.drops["rule"][0]


def test_rows_that_share_a_key_are_all_dropped() -> None:
    found = checked(Prompt, raw(GOOD, GOOD, prompt("b", "x")), "prompt_id")
    assert (found.rows.height, found.drops["rule"].to_list()) == (1, ["primary_key"] * 2)


def test_checked_with_extra_and_missing_columns() -> None:
    extra = raw(GOOD, prompt("b", "")).with_columns(extra=pl.lit(1))
    assert checked(Prompt, extra, "prompt_id").drops.height == 1
    with pytest.raises(DataError, match="no column text"):
        checked(Prompt, raw(GOOD).drop("text"), "prompt_id")


def test_checked_counts_every_row_once() -> None:
    rows = [prompt(str(n), "" if n % 3 else "x") for n in range(50)]
    found = checked(Prompt, raw(*rows), "prompt_id")
    assert found.rows.height + found.drops.height == 50


def test_a_drop_can_hold_anything() -> None:
    row = {"nan": float("nan"), "tuple": (1, {2: b"x"}), "lone": "\ud800", "inf": -float("inf")}
    table = drops_frame([drop(row, "", "odd", "because \udfff", "f:1")])
    assert table["row_id"].to_list() == ["?"]
    assert json.loads(table["row"][0])["nan"] == "nan"
    assert "\\ud800" in table["row"][0]


def test_no_drops_is_a_table_too() -> None:
    assert drops_frame().schema == frame(Dropped, []).schema


def test_schemas_hash_differently() -> None:
    hashes = {schema_sha256(schema) for schema in (Prompt, Example, Dropped, TrainLog)}
    assert len(hashes) == 4
    assert schema_sha256(Prompt) == schema_sha256(Prompt)
