"""`whyguard eval`, in a process of its own as people run it."""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.train.conftest import example_rows
from tests.train.stages.making import stored

from whyguard.core.errors import DataError
from whyguard.core.schemas import Example
from whyguard.core.tables import drop, frame
from whyguard.curation.records import Records
from whyguard.train.commands import _check_some, _cut, _read
from whyguard.train.config import SftStage
from whyguard.train.stages.run import run_stage


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A file with one bad row."""
    path = tmp_path / "rows.jsonl"
    rows: list[dict[str, Any]] = [
        {"id": r["example_id"], "text": r["text"], "language": r["language"], "label": r["label"],
         "family": r["family_id"]}
        for r in example_rows(3)
    ]  # fmt: skip
    rows.append(rows[0] | {"id": "bad", "label": "maybe"})
    path.write_text("\n".join(json.dumps(row) for row in rows) + "\n", "utf-8")
    return path


def _eval(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "whyguard.core.cli", "eval", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True,
                          env={**os.environ, "COLUMNS": "160"})  # fmt: skip


def test_nothing_to_score_is_an_error_with_reasons(tmp_path: Path) -> None:
    row = {"text": "x", "language": "ast_Latn", "label": "maybe"}
    records = Records([], [drop(row, "x:1", "label_not_mapped", "why", "x:1")], 1, "row numbers")
    with pytest.raises(DataError, match=r"1 rows, none kept; dropped: label_not_mapped 1"):
        _check_some(records, tmp_path)


def test_hints_and_drops_speak_of_the_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("text,language,label,category\nla casa,ast_Latn,harmful,nonsense\n")
    assert len(_read(path).rows) == 1
    path.write_text("text,language,label\nla casa,ast_Latn,maybe\n")
    with pytest.raises(DataError, match=r"field 'label'[\s\S]*harmful or unharmful into label"):
        _read(path)


def test_the_threshold_says_where_it_comes_from() -> None:
    assert _cut(0.0, 0.3, 0.5) == (0.0, "from --threshold")
    assert _cut(None, 0.3, 0.5) == (0.3, "the guard's own, fixed on dev rows")
    assert _cut(None, None, 0.5)[0] == 0.5


def test_a_file_is_scored_by_language(data: Path, llama: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = _eval(llama, "--data", data, "--out", out, "--threads", 1, "--device", "cpu")
    assert done.returncode == 0, done.stderr
    assert [line.split()[:2] for line in done.stdout.splitlines()[2:5]] == [
        ["ast_Latn", "6"], ["glg_Latn", "6"], ["all", "12"]]  # fmt: skip
    assert "read 13 rows: 12 kept, 1 dropped" in done.stderr
    assert "label_not_mapped" in done.stderr
    assert "at threshold 0.5 (the default: the guard has none of its own)" in done.stdout
    facts = json.loads((out / "metrics.json").read_text("utf-8"))
    assert facts["kept"] + sum(facts["dropped"].values()) == facts["read"] == 13
    with (out / "scores.csv").open(encoding="utf-8", newline="") as stream:
        scores = [float(row["score"]) for row in csv.DictReader(stream)]
    assert len(scores) == 12
    assert all(0.0 <= score <= 1.0 for score in scores)


def test_facts_as_json(data: Path, gemma: Path) -> None:
    done = _eval(f"path:{gemma}", "--data", data, "--json", "--threshold", 0.0, "--device", "cpu")
    facts = json.loads(done.stdout)
    assert facts["threshold"] == 0.0
    row = facts["languages"][0]
    assert (row["language"], row["recall"], row["false_refusal_rate"]) == ("ast_Latn", 1.0, 1.0)
    assert 0.0 <= row["low"] <= row["auroc"] <= row["high"] <= 1.0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model": "path:nowhere"}, "no such folder"),
        ({"model": "nowhere/model"}, "write path:nowhere/model for a folder"),
        ({"data": "nowhere.jsonl"}, "no such file"),
        ({"threshold": "2"}, "a number from 0 to 1"),
        ({"device": "gpu"}, "found:    'gpu'"),
        ({"mode": "think_greddy"}, "did you mean 'think_greedy'"),
    ],
)
def test_bad_input_is_exit_code_2(data: Path, llama: Path, change: dict[str, str],
                                  said: str) -> None:  # fmt: skip
    given = {"model": llama, "data": data, "threshold": 0.5, "device": "cpu"} | change
    options = [part for name, value in given.items() if name != "model"
               for part in (f"--{name}", value)]  # fmt: skip
    done = _eval(given["model"], *options)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_guard_is_scored_after_its_reasoning(data: Path, llama: Path) -> None:
    done = _eval(llama, "--data", data, "--mode", "think_greedy", "--max-new-tokens", 4, "--json",
                 "--device", "cpu")  # fmt: skip
    facts = json.loads(done.stdout)
    assert (facts["mode"], facts["closed"]) == ("think_greedy", 0.0)
    assert "scored in think_greedy; the guard was trained for no_think" in done.stderr
    shown = _eval(llama, "--data", data, "--mode", "think_k", "--samples", 2, "--max-new-tokens", 2,
                  "--device", "cpu")  # fmt: skip
    assert "mode think_k; " in shown.stdout
    assert "100% of reasonings did not come to a verdict" in shown.stdout


def test_a_guard_is_scored_as_it_was_trained_to_answer(
    data: Path, llama: Path, tmp_path: Path
) -> None:
    guard = tmp_path / "guard"
    rows = [row | {"think": "the house is old"} for row in example_rows()]
    traced = stored(tmp_path / "data", Example, frame(Example, rows))
    config = SftStage.model_validate({
        "model": f"path:{llama}", "data": str(traced), "max_steps": 1,
        "reasoning": "english_cot"})  # fmt: skip
    shutil.copytree(run_stage(config, tmp_path / "out").folder, guard)
    assert "mode `think_greedy`, which it was trained for" in (guard / "README.md").read_text()
    done = _eval(guard, "--data", data, "--max-new-tokens", 4, "--json", "--device", "cpu")
    assert json.loads(done.stdout)["mode"] == "think_greedy"
    assert "was trained for" not in done.stderr
