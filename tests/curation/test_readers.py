import csv
import gzip
import json
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from whyguard.core.errors import DataError, MissingFileError, WhyguardError
from whyguard.curation.readers import read_raw


def _file(folder: Path, name: str, data: bytes | str) -> Path:
    path = folder / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def test_csv_with_mark_quoted_breaks_and_blank_lines(tmp_path: Path) -> None:
    text = '\ufeffid,text\r\n1,"two\r\nlines, one ""row"""\r\n\r\n2,plain\u2028still\r\n'
    file = read_raw(_file(tmp_path, "a.csv", text), ["id", "text"])
    assert file.columns == ("id", "text")
    assert [(r.number, r.line) for r in file.rows] == [(1, 2), (2, 5)]
    assert file.rows[0].values["text"] == 'two\r\nlines, one "row"'
    assert file.rows[1].values["text"] == "plain\u2028still"
    assert file.read == 2


def test_tsv_and_nameless_columns(tmp_path: Path) -> None:
    file = read_raw(_file(tmp_path, "a.tsv", "\ttext\n0\ta, b\n"))
    assert file.columns == ("column 1", "text")
    assert file.rows[0].values == {"column 1": "0", "text": "a, b"}


def test_long_csv_field_is_read(tmp_path: Path) -> None:
    file = read_raw(_file(tmp_path, "a.csv", "text\n" + "x" * 200_000 + "\n"))
    assert len(file.rows[0].values["text"]) == 200_000


def test_bad_csv_rows_are_rejected_and_the_rest_kept(tmp_path: Path) -> None:
    text = 'id,text\n1,a\n2,b,c\n3\n4,"x"y\n5,e\n6,f\n7,g\n8,"two\nlines"\n9,h\n'
    file = read_raw(_file(tmp_path, "a.csv", text))
    assert [r.values["id"] for r in file.rows] == ["1", "5", "6", "7", "8", "9"]
    assert [(r.rule, r.raw.line) for r in file.rejects] == [
        ("wrong_field_count", 3),
        ("wrong_field_count", 4),
        ("broken_csv", 5),
    ]
    assert file.rejects[0].found == "3 fields"
    assert file.read == 9


def test_a_quote_that_swallows_rows_names_the_lines(tmp_path: Path) -> None:
    text = 'id,text\n1,"open\n2,b\n3,"c"\n4,d\n5,e\n6,f\n'
    file = read_raw(_file(tmp_path, "a.csv", text))
    assert [(r.rule, r.raw.line) for r in file.rejects] == [("broken_csv", 2)]
    assert "lines 2 to 4" in file.rejects[0].found
    assert [r.line for r in file.rows] == [5, 6, 7]


def test_jsonl_splits_on_newline_only(tmp_path: Path) -> None:
    text = '{"a": "x\u2028y\u0085z"}\r\n\n{"b": 2}\n'
    file = read_raw(_file(tmp_path, "a.jsonl", text))
    assert file.columns == ("a", "b")
    assert [(r.number, r.line) for r in file.rows] == [(1, 1), (2, 3)]
    assert file.rows[0].values == {"a": "x\u2028y\u0085z"}


def test_bad_json_rows_are_rejected(tmp_path: Path) -> None:
    good = '{"text": "a"}\n'
    bad = '{"text": \n[1]\n{"text": NaN}\n' + "[" * 100_000 + "\n"
    file = read_raw(_file(tmp_path, "a.jsonl", good * 4 + bad + good), ["text"])
    assert [(r.rule, r.raw.line) for r in file.rejects] == [
        ("broken_json", 5),
        ("json_not_object", 6),
        ("broken_json", 7),
        ("broken_json", 8),
    ]
    assert file.read == 9


def test_gzip_and_parquet(tmp_path: Path) -> None:
    packed = _file(tmp_path, "a.jsonl.gz", gzip.compress(b'\xef\xbb\xbf{"text": "a"}\n'))
    assert read_raw(packed, ["text"]).rows[0].values == {"text": "a"}
    pl.DataFrame({"text": ["a", None], "n": [1, 2]}).write_parquet(tmp_path / "a.parquet")
    file = read_raw(tmp_path / "a.parquet", ["text"])
    assert [(r.number, r.line, r.values) for r in file.rows] == [
        (1, 1, {"text": "a", "n": 1}),
        (2, 2, {"text": None, "n": 2}),
    ]


@pytest.mark.parametrize(
    ("name", "data", "pattern"),
    [
        ("a.csv", b"", r"a\.csv\n  expected: at least one row\n  found:    an empty file: 0 bytes"),
        ("a.csv", b"id,text\n", "an empty file: a header and no rows"),
        ("a.csv", b"\n\n", "an empty file: blank lines only"),
        ("a.jsonl", b"\n \n", "an empty file: blank lines only"),
        ("a.jsonl.gz", gzip.compress(b""), "0 bytes once unpacked"),
        ("a.csv", b"id,txt\n1,x\n", r"(?s)a column 'text'.*columns 'id', 'txt'.*mean 'txt'\?"),
        ("a.jsonl", b'{"id": 1, "Text": "x"}\n', r"(?s)a column 'text'.*'Text'.*mean 'Text'\?"),
        ("a.csv", b"text,text\n1,x\n", "(?s)header of distinct names.*'text' twice"),
        ("a.csv", b"text\nok\ncaf\xe9\n", r"(?s)a\.csv:3.*byte 0xe9 at offset 11 .*WINDOWS-1252"),
        ("a.csv", b"\xef\xbb\xbftext\n\xe9\n", r"(?s)a\.csv:2.*byte 0xe9 at offset 8"),
        ("a.jsonl", b'{"text": "\xff"}\n', r"(?s)a\.jsonl:1.*byte 0xff at offset 10"),
        ("a.csv", "text\nx\n".encode("utf-16"), r"(?s)byte 0xff at offset 0 .*UTF-16"),
        ("a.jsonl.gz", b'{"text": "a"}\n', "(?s)a complete gzip file.*Not a gzipped file"),
        ("a.jsonl.gz", gzip.compress(b'{"text": "a"}\n')[:-9], "a complete gzip file"),
        ("a.parquet", b"not parquet at all", "expected: a parquet file"),
        ("a.txt", b"text\n", r"(?s)ending in \.csv, \.tsv, \.jsonl, .*found:    '\.txt'"),
        ("a.csv", b'text\n"a\nb\nc\n', r"(?s)a\.csv:2.*never closes"),
        ("a.jsonl", b"text\nmore\n", r"(?s)a\.jsonl:1: field 'line'.*2 of 2.*one JSON object"),
        ("a.csv", b"text\na,b\nc,d\ne\n", r"(?s)2 of 3 rows.*1 fields, as in the header.*2 fields"),
    ],
)  # fmt: skip
def test_bad_files(tmp_path: Path, name: str, data: bytes, pattern: str) -> None:
    with pytest.raises(DataError, match=pattern) as caught:
        read_raw(_file(tmp_path, name, data), ["text"])
    assert caught.value.exit_code == 2
    for part in ("expected:", "found:", "to do:", str(tmp_path)):
        assert part in str(caught.value)


def test_empty_parquet(tmp_path: Path) -> None:
    pl.DataFrame({"text": []}, schema={"text": pl.String}).write_parquet(tmp_path / "a.parquet")
    with pytest.raises(DataError, match="columns and no rows"):
        read_raw(tmp_path / "a.parquet")


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="found:    no such file"):
        read_raw(tmp_path / "a.csv")
    with pytest.raises(MissingFileError, match="found:    a folder"):
        read_raw(tmp_path)


_FIELD = st.text(st.characters(codec="utf-8", exclude_characters="\x00"))
_IN_PLACE = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)


@_IN_PLACE
@given(st.lists(st.tuples(_FIELD, _FIELD), min_size=1))
def test_csv_and_jsonl_round_trip(tmp_path: Path, pairs: list[tuple[str, str]]) -> None:
    with (tmp_path / "a.csv").open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream, quoting=csv.QUOTE_ALL).writerows([("a", "b"), *pairs])
    lines = [json.dumps({"a": a, "b": b}, ensure_ascii=False) for a, b in pairs]
    (tmp_path / "a.jsonl").write_text("\n".join(lines), "utf-8", newline="\n")
    for name in ("a.csv", "a.jsonl"):
        file = read_raw(tmp_path / name)
        assert [(r.values["a"], r.values["b"]) for r in file.rows] == pairs


@_IN_PLACE
@given(st.sampled_from(["a.csv", "a.tsv", "a.jsonl", "a.jsonl.gz", "a.parquet"]), st.binary())
def test_any_bytes_give_rows_or_our_error(tmp_path: Path, name: str, data: bytes) -> None:
    try:
        file = read_raw(_file(tmp_path, name, data))
    except WhyguardError:
        return
    assert file.read == len(file.rows) + len(file.rejects) > 0
