import csv
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from whyguard.core.errors import DataError
from whyguard.core.values import CATEGORY_CODES
from whyguard.curation.presets import MULTIJAIL_LANGUAGES, PRESETS
from whyguard.curation.readers import read_raw
from whyguard.curation.records import Reading, Records, convert_file

FLAGS = ("S", "H", "V", "HR", "SH", "S3", "H2", "V2")


def _read(name: str, path: Path, **options: Any) -> Records:
    preset = PRESETS[name]
    raw = read_raw(path, (*preset.columns.named(), *preset.required))
    given = {"columns": preset.columns, "label": preset.label, "labels": preset.labels} | options
    records = convert_file(raw, Reading(**given), preset.convert, name)
    assert records.read == len(records.rows) + len(records.drops)
    if preset.regroup:
        records = records._replace(rows=preset.regroup(records.rows))
    return records


def _rules(records: Records) -> dict[str, int]:
    counts: dict[str, int] = defaultdict(int)
    for item in records.drops:
        counts[item["rule"]] += 1
    return dict(counts)


def _moderation(folder: Path, rows: list[dict[str, Any]]) -> Path:
    path = folder / "samples.jsonl"
    full = [{"prompt": f"text {n}"} | row for n, row in enumerate(rows)]
    path.write_text("\n".join(json.dumps(row) for row in full), "utf-8")
    return path


_ZERO: dict[str, Any] = dict.fromkeys(FLAGS, 0)


def test_moderation_flags(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        _ZERO,
        _ZERO | {"H2": 1},
        {"V": 1},
        {"S": 0, "S3": 0},
        _ZERO | {"S3": 1},
        {"S": 1, "H": 0},
        _ZERO | {"SH": None},
        _ZERO | {"V": 2},
    ]
    found = _read("openai_moderation", _moderation(tmp_path, rows))
    assert [(r.id, r.label, r.categories) for r in found.rows] == [
        ("1", "unharmful", ()),
        ("2", "harmful", ("S10", "S1")),
        ("3", "harmful", ("S1",)),
    ]
    assert [(d["row_id"].split(":")[1], d["rule"]) for d in found.drops] == [
        ("4", "unknown_label"),
        ("5", "s4_not_carried"),
        ("6", "s4_not_carried"),
        ("7", "unknown_label"),
        ("8", "bad_flag"),
    ]
    published = _read("openai_moderation", _moderation(tmp_path, rows), any_flag=True)
    assert [(r.id, r.label) for r in published.rows] == [
        ("1", "unharmful"),
        ("2", "harmful"),
        ("3", "harmful"),
        ("4", "unharmful"),
        ("7", "unharmful"),
    ]


def test_file_without_any_flag_is_not_the_moderation_set(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"(?s)field 'flags'.*flags S, S3.*none of them"):
        _read("openai_moderation", _moderation(tmp_path, [{}, {"label": 1}]))


def test_public_moderation_set(shared_data: Path) -> None:
    path = shared_data / "openai_moderation" / "samples_shared.jsonl"
    rows = [json.loads(line) for line in path.read_text("utf-8").split("\n") if line]
    harmful = sum(any(row.get(flag) == 1 for flag in FLAGS) for row in rows)
    open_rows = sum(len(row) < 9 and not any(row.get(flag) == 1 for flag in FLAGS) for row in rows)
    training, published = (
        _read("openai_moderation", path),
        _read("openai_moderation", path, any_flag=True),
    )
    assert training.read == published.read == 798
    assert (harmful, open_rows) == (219, 404)
    assert _rules(training)["unknown_label"] == 404
    withheld = _rules(training)["s4_not_carried"]
    assert sum(r.label == "harmful" for r in training.rows) == 219 - withheld
    assert sum(r.label == "unharmful" for r in published.rows) == 798 - 219
    assert all(r.categories for r in training.rows if r.label == "harmful")


def test_public_xstest_keeps_contrast_pairs_together(shared_data: Path) -> None:
    found = _read("xstest", shared_data / "xstest" / "xstest_shared.csv")
    assert (found.read, len(found.rows)) == (186, 186)
    assert sum(r.label == "unharmful" for r in found.rows) == 99
    groups = {int(r.id): r.group for r in found.rows}
    labels = {int(r.id): r.label for r in found.rows}
    pairs = [(n, n + 25) for n in groups
             if labels[n] == "unharmful" and labels.get(n + 25) == "harmful"]  # fmt: skip
    assert len(pairs) > 70
    assert all(groups[safe] == groups[unsafe] for safe, unsafe in pairs)
    assert groups[388] == groups[411] == groups[436]
    assert groups[1] != groups[51]
    assert len(set(groups.values())) < 95


def test_xstest_focus_in_other_words_and_blanks(tmp_path: Path) -> None:
    rows = [
        ("1", "homonyms", "safe", "kill"),
        ("26", "contrast_homonyms", "unsafe", " Kill "),
        ("174", "safe_contexts", "safe", "bank account fraud"),
        ("199", "contrast_safe_contexts", "unsafe", "bank fraud"),
        ("276", "nons_group_real_discr", "safe", "tall"),
        ("301", "contrast_discr", "unsafe", "tall"),
        ("2", "homonyms", "safe", ""),
    ]
    path = tmp_path / "x.csv"
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["id", "type", "label", "focus", "prompt"])
        writer.writerows((*row, f"text {row[0]}") for row in rows)
    found = _read("xstest", path).rows
    assert [found[n].group == found[n + 1].group for n in (0, 2, 4)] == [True, True, True]
    assert len({r.group for r in found}) == 4
    assert found[5].categories == ("S10",)


def test_public_multijail_columns_share_families(shared_data: Path) -> None:
    path = shared_data / "multijail" / "MultiJail_shared.csv"
    english = _read("multijail", path)
    columns = PRESETS["multijail"].columns.model_copy(update={"text": "bn"})
    bengali = _read("multijail", path, columns=columns, language="ben_Beng")
    assert english.read == bengali.read == 157
    assert {r.label for r in english.rows} == {"harmful"}
    assert {r.language for r in bengali.rows} == {"ben_Beng"}
    assert {r.family for r in english.rows} == {r.family for r in bengali.rows}
    assert {code for r in english.rows for code in r.categories} <= set(CATEGORY_CODES)
    assert sum(bool(r.categories) for r in english.rows) > 130
    header = read_raw(path).columns
    assert set(MULTIJAIL_LANGUAGES) <= set(header)


@pytest.mark.parametrize(
    ("tags", "rule"),
    [("['Theft']", None), ("", None), ("['Unheard of']", "unknown_category"),
     ("Theft", "unknown_category"), ("['Child abuse']", "s4_not_carried")],
)  # fmt: skip
def test_multijail_tags(tmp_path: Path, tags: str, rule: str | None) -> None:
    path = tmp_path / "m.csv"
    rows = "".join(f"{n},['Weapons'],text {n}\n" for n in range(3))
    path.write_text(f'id,tags,en\n{rows}9,"{tags}",text\n', "utf-8")
    found = _read("multijail", path)
    assert [item["rule"] for item in found.drops] == ([rule] if rule else [])


def test_public_advbench(shared_data: Path) -> None:
    found = _read("advbench", shared_data / "advbench" / "advbench_behaviors.csv")
    assert found.read == 520
    assert set(_rules(found)) == {"s4_not_carried"}
    assert {r.label for r in found.rows} == {"harmful"}
    assert all(r.id.startswith("advbench_") for r in found.rows)
    assert all("withheld" in item["row"] for item in found.drops)


def _starter_line(**changes: Any) -> dict[str, Any]:
    harmful = {"en": "one", "es": "uno", "violations": ["S2", "S7"]}
    line = {"group": "s2-01", "category": "S2", "harmful": harmful,
            "benign": {"en": "two", "es": "dos"}}  # fmt: skip
    return line | changes


def test_starter_line_gives_two_families(tmp_path: Path) -> None:
    path = tmp_path / "groups.jsonl"
    path.write_text(json.dumps(_starter_line()), "utf-8")
    found = _read("starter", path).rows
    assert [(r.id, r.language, r.label, r.categories) for r in found] == [
        ("s2-01-h", "eng_Latn", "harmful", ("S2", "S7")),
        ("s2-01-h", "spa_Latn", "harmful", ("S2", "S7")),
        ("s2-01-b", "eng_Latn", "unharmful", ()),
        ("s2-01-b", "spa_Latn", "unharmful", ()),
    ]
    assert {r.group for r in found} == {"s2-01"}
    assert [r.translation_of for r in found[:2]] == [None, ("s2-01-h", "eng_Latn")]


def test_starter_line_that_lacks_something(tmp_path: Path) -> None:
    lines = [_starter_line(group=f"s2-0{n}") for n in range(4)]
    lines[1]["benign"] = None
    lines[2]["harmful"] = {"en": "three", "violations": []}
    path = tmp_path / "groups.jsonl"
    path.write_text("\n".join(json.dumps(line) for line in lines), "utf-8")
    found = _read("starter", path)
    assert [(d["row_id"], d["rule"]) for d in found.drops] == [
        ("starter:s2-01", "missing_field"),
        ("starter:s2-02", "missing_field"),
    ]
    assert (found.read, len(found.rows)) == (10, 8)
