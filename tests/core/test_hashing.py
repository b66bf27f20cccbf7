"""Hashes: stable over encodings, chunks and processes; different for what differs."""

import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whyguard.core.hashing import canonical_json, rows_sha256, sha256_folder, sha256_json

TABLE = {
    "id": ["a", "b", "c"],
    "label": ["harmful", "unharmful", "harmful"],
    "score": [0.1, 1e-300, None],
    "n": [2**62, -1, None],
    "codes": [["S1"], [], ["S2", "S1"]],
    "signals": [[{"name": "x", "value": 0.5}], [], [{"name": "y", "value": None}]],
}
LABEL = pl.Enum(["harmful", "unharmful"])
CODES = pl.List(pl.Enum(["S1", "S2"]))


def encoded() -> pl.DataFrame:
    return pl.DataFrame(TABLE).with_columns(
        pl.col("label").cast(LABEL), pl.col("codes").cast(CODES)
    )


def test_rows_sha256_survives_parquet(tmp_path: Path) -> None:
    table = encoded()
    table.write_parquet(tmp_path / "t.parquet")
    assert rows_sha256(pl.read_parquet(tmp_path / "t.parquet")) == rows_sha256(table)


def test_enum_categorical_and_string_hash_alike_also_when_nested() -> None:
    plain = pl.DataFrame(TABLE)
    assert rows_sha256(encoded()) == rows_sha256(plain)
    assert rows_sha256(plain.with_columns(pl.col("label").cast(pl.Categorical))) == rows_sha256(
        plain
    )
    struct = pl.DataFrame({"s": [{"a": "S1"}]})
    as_enum = struct.cast({"s": pl.Struct({"a": pl.Enum(["S1"])})})
    assert rows_sha256(as_enum) == rows_sha256(struct)


def test_rows_sha256_does_not_depend_on_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    table = pl.concat([encoded()] * 5, rechunk=False)
    whole = rows_sha256(table)
    for rows in (1, 2, 3, 14, 15, 16):
        monkeypatch.setattr("whyguard.core.hashing._CHUNK_ROWS", rows)
        assert rows_sha256(table) == whole
    assert rows_sha256(table.rechunk()) == whole


def test_rows_sha256_over_the_real_chunk_boundary() -> None:
    table = pl.DataFrame({"n": range(50_001)})
    changed = table.with_columns(n=pl.when(pl.col("n") == 50_000).then(0).otherwise(pl.col("n")))
    assert rows_sha256(table) != rows_sha256(changed)
    assert rows_sha256(table) != rows_sha256(table.head(50_000))


@pytest.mark.parametrize(
    "other",
    [
        encoded().reverse(),
        encoded().rename({"id": "name"}),
        encoded().with_columns(pl.col("n").fill_null(0)),
        encoded().with_columns(pl.col("score").cast(pl.Float32)),
        encoded().select(reversed(encoded().columns)),
        encoded().head(2),
    ],
    ids=["order", "name", "null", "type", "columns", "length"],
)
def test_rows_sha256_differs_for_what_differs(other: pl.DataFrame) -> None:
    assert rows_sha256(other) != rows_sha256(encoded())


def test_empty_tables_differ_by_type() -> None:
    numbers, texts = pl.DataFrame(schema={"a": pl.Int64}), pl.DataFrame(schema={"a": pl.String})
    assert rows_sha256(numbers) != rows_sha256(texts)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_nan_is_refused_because_it_would_hash_like_null(value: float) -> None:
    with pytest.raises(ValueError, match="column 'x' holds NaN or infinity"):
        rows_sha256(pl.DataFrame({"x": [1.0, value]}))


def test_same_hash_in_a_second_process(tmp_path: Path) -> None:
    encoded().write_parquet(tmp_path / "t.parquet")
    code = (
        "import sys, polars as pl; from whyguard.core.hashing import rows_sha256, sha256_json;"
        "print(rows_sha256(pl.read_parquet(sys.argv[1])), sha256_json({'b': 1, 'a': ['ñ']}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "t.parquet")],
        capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": "7"},
    )  # fmt: skip
    assert done.stdout.split() == [rows_sha256(encoded()), sha256_json({"a": ["ñ"], "b": 1})]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=10,
)  # fmt: skip


@given(JSON)
@settings(max_examples=60)
def test_canonical_json_ignores_key_order(value: object) -> None:
    def turned(item: object) -> object:
        if isinstance(item, dict):
            return {key: turned(item[key]) for key in reversed(item)}
        return [turned(x) for x in item] if isinstance(item, list) else item

    assert canonical_json(turned(value)) == canonical_json(value)


def test_canonical_json_refuses_nan() -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        canonical_json({"x": float("nan")})


def test_sha256_folder_keys_are_relative_posix_paths(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "x").write_bytes(b"1")
    (tmp_path / "a").write_bytes(b"2")
    assert list(sha256_folder(tmp_path)) == ["a", "b/x"]
