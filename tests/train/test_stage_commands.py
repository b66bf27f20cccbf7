"""train/stage_commands.py: each command on tiny models; no heavy import for help."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.train.judging import judging_llama
from tests.train.pair_making import with_english
from tests.train.stages.making import stored, stored_examples, stored_pairs
from typer.testing import CliRunner

from whyguard.core.errors import ConfigError, DataError, UnknownLanguageError
from whyguard.core.schemas import Example
from whyguard.core.tables import frame
from whyguard.train.stage_commands import app

torch.set_num_threads(1)
COMMANDS = ("sft", "grpo", "dpo", "cao", "none", "pairs", "prepare", "pipeline")


def _said(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments))
    if result.exception is not None:
        raise result.exception
    return result.stdout


def _json(*arguments: str) -> Any:
    return json.loads(_said(*arguments, "--json"))


def _config(folder: Path, **values: Any) -> str:
    path = folder / "stage.yaml"
    path.write_text(json.dumps(values), "utf-8")  # JSON is YAML
    return str(path)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_an_example(name: str) -> None:
    assert f"whyguard train {name} " in " ".join(_said(name, "--help").split())


def test_help_and_parsing_load_nothing_heavy() -> None:
    code = ("import sys; import whyguard.train.stage_commands, whyguard.train.pipeline; "
            "import whyguard.train.stages.files, whyguard.train.stages.run; "
            "print([m for m in ('torch', 'transformers', 'trl', 'peft') "
            "if m in sys.modules])")  # fmt: skip
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_sft_dry_run_then_run_then_reuse(llama: Path, tmp_path: Path) -> None:
    data = stored_examples(tmp_path / "data")
    config = _config(tmp_path, model=f"path:{llama}", data=str(data))
    out = str(tmp_path / "out")
    planned = _json("sft", config, "--out", out, "--dry-run", "--set", "max_steps=3")
    assert planned["steps"] == 3
    assert not Path(out).exists()
    assert "GB" in _said("sft", config, "--out", out, "--dry-run")
    made = _json("sft", config, "--out", out, "--set", "max_steps=3", "--threads", "1")
    assert (made["steps"], made["reused"]) == (3, False)
    assert Path(made["model"], "guard.json").is_file()
    assert _json("sft", config, "--out", out, "--set", "max_steps=3")["reused"]


@pytest.mark.parametrize("stage", ["dpo", "cao"])
def test_preference_stages(stage: str, llama: Path, tmp_path: Path) -> None:
    config = _config(tmp_path, model=f"path:{llama}", data=str(stored_pairs(tmp_path / "pairs")))
    text = _said(stage, config, "--out", str(tmp_path / "out"), "--set", "max_steps=2")
    assert f"stage: {stage}" in text
    assert "preference_accuracy" in text


def test_pairs_and_their_reuse(tmp_path: Path) -> None:
    model = judging_llama(tmp_path / "model")
    data = stored(tmp_path / "data", Example, frame(Example, with_english()))
    config = _config(tmp_path, model=f"path:{model}", data=str(data), languages=["ast_Latn"],
                     samples=4, temperature=1.0, max_new_tokens=24)  # fmt: skip
    out = str(tmp_path / "out" / "pairs")
    found = _json("pairs", config, "--out", out)
    assert found["pairs"] == found["by_language"]["ast_Latn"] > 4
    assert _json("pairs", config, "--out", out)["reused"]
    with pytest.raises(ConfigError, match="pairs of another config"):
        _said("pairs", config, "--out", out, "--set", "seed=7")
    other = ("pairs", config, "--out", str(tmp_path / "out" / "x"), "--set")
    with pytest.raises(UnknownLanguageError, match="did you mean 'ast_Latn'"):
        _said(*other, "languages=[ast_Lat]")
    with pytest.raises(DataError, match="train rows in fra_Latn"):
        _said(*other, "languages=[fra_Latn]")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["ledger", "pairs"]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.odt").touch()
    with pytest.raises(ConfigError, match=r"a new or empty folder(?s:.*)thesis"):
        _said("pairs", config, "--out", str(tmp_path / "mine"))
    assert (tmp_path / "mine" / "thesis.odt").exists()


def test_prepare_says_what_was_kept(llama: Path, tmp_path: Path) -> None:
    data = stored_examples(tmp_path / "data")
    found = _json("prepare", "--trim-vocabulary", f"path:{llama}", "--data", str(data), "--out",
                  str(tmp_path / "out"))  # fmt: skip
    assert 0 < found["bytes_after"] < found["bytes_before"]
    with pytest.raises(ConfigError, match="say --trim-vocabulary"):
        _said("prepare", f"path:{llama}", "--data", str(data), "--out", str(tmp_path / "x"))


def test_pipeline_dry_run(tmp_path: Path) -> None:
    path, model, data = tmp_path / "p.yaml", tmp_path / "m", tmp_path / "d"
    judging_llama(model, steps=1)
    stored(data, Example, frame(Example, with_english()))
    path.write_text(f"pipeline: 1\nmodel: path:{model}\ndata: {data}\nstages:\n  sft: {{}}\n  "
                    "pairs: {languages: [ast_Latn]}\n  cao: {lam: 3}\n", "utf-8")  # fmt: skip
    found = _json("pipeline", str(path), "--dry-run")
    assert [(each["id"], each["model"], each["data"]) for each in found] == [
        ("sft", f"path:{model}", str(data)), ("pairs", "sft", str(data)),
        ("cao", "sft", "pairs")]  # fmt: skip
    assert found[2]["config"]["lam"] == 3
    assert found[0]["steps"] > 0
    assert found[0]["memory"]["total"] > found[0]["memory"]["weights"] > 0
    assert sorted(tmp_path.iterdir()) == [data, model, path]
