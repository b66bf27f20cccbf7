import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from whyguard.core.errors import DataError
from whyguard.curation.records import GENERIC, Columns, read_records

_NL = "\n"


def _jsonl(folder: Path, rows: list[Any]) -> Path:
    path = folder / "own.jsonl"
    path.write_text(_NL.join(json.dumps(row) for row in rows) + _NL, "utf-8")
    return path


def _row(number: int, **values: Any) -> dict[str, Any]:
    label = "harmful" if number % 2 else "unharmful"
    return {"id": f"r{number}", "text": f"text {number}", "language": "ast_Latn",
            "label": label} | values  # fmt: skip


def test_generic_file(tmp_path: Path) -> None:
    rows = [_row(n) for n in range(4)] + [
        _row(9, text=" e\u0301\u200b ", family="f", category="S2")
    ]
    found = read_records(_jsonl(tmp_path, rows))
    assert found.read == 5
    assert found.drops == []
    assert found.ids == "column 'id'"
    first, last = found.rows[0], found.rows[-1]
    assert (first.id, first.family, first.group, first.where) == ("r0", "r0", "r0", "own.jsonl:1")
    assert (last.text, last.family, last.group, last.categories) == ("é", "f", "f", ("S2",))


def test_one_bad_row_of_each_kind_is_dropped_with_its_reason(tmp_path: Path) -> None:
    bad = [
        _row(20, text=" \u200b "),
        _row(21, text=None),
        _row(22, label="maybe"),
        _row(23, label=None),
        _row(24, category="S77"),
        _row(25, language="ast"),
        _row(26, text=7),
        _row(27, text="\ud800 half"),
        _row(28, category="S4", label="harmful"),
        {"id": "r29", "language": "ast_Latn", "label": "harmful"},
        [1, 2],
    ]
    path = _jsonl(tmp_path, [_row(n) for n in range(20)] + bad)
    with path.open("a", encoding="utf-8") as stream:
        stream.write('{"text": ' + _NL)
    found = read_records(path)
    assert found.read == 32
    assert len(found.rows) == 20
    assert [(d["rule"], d["where"]) for d in found.drops] == [
        ("empty_text", "own.jsonl:21"),
        ("empty_text", "own.jsonl:22"),
        ("label_not_mapped", "own.jsonl:23"),
        ("label_not_mapped", "own.jsonl:24"),
        ("unknown_category", "own.jsonl:25"),
        ("unknown_language", "own.jsonl:26"),
        ("text_not_string", "own.jsonl:27"),
        ("lone_surrogate", "own.jsonl:28"),
        ("s4_not_carried", "own.jsonl:29"),
        ("empty_text", "own.jsonl:30"),
        ("json_not_object", "own.jsonl:31"),
        ("broken_json", "own.jsonl:32"),
    ]
    by_id = {d["row_id"]: d for d in found.drops}
    assert by_id["own:r22"]["reason"] == (
        "label: expected a mapped label value: 'harmful', 'unharmful', found 'maybe'"
    )
    assert json.loads(by_id["own:r22"]["row"])["text"] == "text 22"
    assert set(json.loads(by_id["own:r28:ast_Latn"]["row"])) == {"withheld", "sha256"}
    assert json.loads(by_id["own:line-32"]["row"]) == {"line": '{"text": '}


def test_mostly_unmapped_labels_are_a_bad_file(tmp_path: Path) -> None:
    rows = [_row(n, label="yes" if n % 3 else "no") for n in range(6)] + [_row(7)]
    pattern = (
        r"own\.jsonl:1: field 'label' \(first row that breaks 'label_not_mapped'; 6 of 7 rows do\)"
        r"\n  expected: a mapped label value: 'harmful', 'unharmful'"
        r"\n  found:    'no'; in all: 'yes' \(4 rows\), 'no' \(2 rows\)"
        r"\n  to do:    map each value to harmful or unharmful under 'labels:'"
    )
    with pytest.raises(DataError, match=pattern):
        read_records(_jsonl(tmp_path, rows))
    found = read_records(_jsonl(tmp_path, rows), labels={"yes": "harmful", "no": "unharmful"})
    assert (len(found.rows), [d["rule"] for d in found.drops]) == (6, ["label_not_mapped"])


def test_half_bad_is_dropped_and_more_is_refused(tmp_path: Path) -> None:
    half = [_row(n, text="" if n % 2 else "x") for n in range(4)]
    assert len(read_records(_jsonl(tmp_path, half)).drops) == 2
    with pytest.raises(DataError, match="'empty_text'; 3 of 5 rows do"):
        read_records(_jsonl(tmp_path, [*half, _row(9, text="")]))


@pytest.mark.parametrize(
    ("change", "pattern"),
    [
        ({"language": "asturian"}, r"(?s)found:    'asturian'.*did you mean 'ast_Latn'"),
        ({"language": "xxx_Latn"}, r"(?s)expected: a known code such as ast_Latn.*'xxx_Latn'"),
        ({"category": "violence"}, r"(?s)one of S1\.\.S14.*'violence'.*under 'categories:'"),
        ({"text": 3}, r"(?s)field 'text'.*expected: a text.*a int"),
        ({"text": "\t"}, "expected: a text\n  found:    no visible character"),
    ],
)
def test_bad_values_everywhere_are_a_bad_file(
    tmp_path: Path, change: dict[str, Any], pattern: str
) -> None:
    with pytest.raises(DataError, match=pattern):
        read_records(_jsonl(tmp_path, [_row(n, **change) for n in range(3)]))


@pytest.mark.parametrize("name", ["text", "label", "language"])
def test_missing_columns(tmp_path: Path, name: str) -> None:
    rows = [{k: v for k, v in _row(n).items() if k != name} for n in range(3)]
    with pytest.raises(DataError, match=rf"a column '{name}'\n  found:    columns 'id'"):
        read_records(_jsonl(tmp_path, rows))


def test_constants_replace_columns(tmp_path: Path) -> None:
    path = _jsonl(tmp_path, [{"body": "a"}, {"body": "b"}])
    columns = GENERIC.model_copy(update={"text": "body"})
    found = read_records(path, columns, label="unharmful", language="glg_Latn")
    assert [(r.id, r.label, r.language) for r in found.rows] == [
        ("1", "unharmful", "glg_Latn"),
        ("2", "unharmful", "glg_Latn"),
    ]
    assert found.ids == "row numbers (no id column)"


def test_ids_that_repeat_or_miss_fall_back_to_row_numbers(tmp_path: Path) -> None:
    found = read_records(_jsonl(tmp_path, [_row(1), _row(2), _row(1)]))
    assert [r.id for r in found.rows] == ["1", "2", "3"]
    assert found.ids == "row numbers (column 'id' repeats 'r1' at line 3)"
    found = read_records(_jsonl(tmp_path, [_row(1), _row(2, id=None)]))
    assert found.ids == "row numbers (column 'id' is empty at line 2)"


def test_one_id_in_two_languages_is_one_family(tmp_path: Path) -> None:
    found = read_records(_jsonl(tmp_path, [_row(1), _row(1, language="glg_Latn")]))
    assert [(r.id, r.family) for r in found.rows] == [("r1", "r1"), ("r1", "r1")]


def test_numbers_lists_and_mapped_categories(tmp_path: Path) -> None:
    pl.DataFrame(
        {"n": [1.0, 2.0], "t": ["a", "b"], "y": [True, False], "c": [["v", "w"], []]}
    ).write_parquet(tmp_path / "a.parquet")
    found = read_records(
        tmp_path / "a.parquet",
        Columns(text="t", label="y", id="n", category="c"),
        labels={"true": "harmful", "false": "unharmful"},
        language="spa_Latn",
        categories={"v": ("S1", "S2"), "w": ("S2",)},
    )
    assert [(r.id, r.label, r.categories) for r in found.rows] == [
        ("1", "harmful", ("S1", "S2")),
        ("2", "unharmful", ()),
    ]


def test_categories_written_with_separators(tmp_path: Path) -> None:
    found = read_records(_jsonl(tmp_path, [_row(1, category="S2; S9,S2"), _row(2, category="")]))
    assert [r.categories for r in found.rows] == [("S2", "S9"), ()]
