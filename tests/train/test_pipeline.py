"""train/pipeline.py: stages by path, finished ones reused, stopped ones gone on with."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from tests.train.pair_making import with_english, written_pipeline
from tests.train.stages.making import stored

from whyguard.core.errors import ConfigError, MissingFileError, UnknownLanguageError
from whyguard.core.progress import Progress
from whyguard.core.schemas import Example
from whyguard.core.tables import frame
from whyguard.train.config import CaoStage
from whyguard.train.folder import read_guard
from whyguard.train.pairs import PairsConfig
from whyguard.train.pipeline import Pipeline, evaluate_pipeline, load_pipeline, run_pipeline
from whyguard.train.pipeline_forecast import forecast_pipeline
from whyguard.train.stages.pairs_run import PairsResult
from whyguard.train.stages.run import StageResult

torch.set_num_threads(1)
ROOT = Path(__file__).resolve().parents[2]
STAGES = """\
  sft: {max_steps: 2}
  pairs: {samples: 4, temperature: 1.0, max_new_tokens: 24}
  none: {}
  dpo: {max_steps: 2}
  cao: {max_steps: 3, lam: 0.5}
  late: {stage: cao, after: dpo, max_steps: 1}
"""


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pipeline on a tiny guard that judges at random."""
    return written_pipeline(tmp_path_factory.mktemp("pipeline"), STAGES)


def _run(pipeline: Pipeline, out: Path) -> dict[str, StageResult | PairsResult]:
    return dict(run_pipeline(pipeline, out, Progress.silent()))


@pytest.mark.slow
def test_stages_are_chained_by_path_and_reused(written: Path, tmp_path: Path) -> None:
    done = _run(load_pipeline(written), tmp_path)
    assert list(done) == ["sft", "pairs", "none", "dpo", "cao", "late"]
    assert not any(each.reused for each in done.values())
    stages = {name: read_guard(tmp_path / name / "model") for name in done if name != "pairs"}
    told = {name: [stage.stage for stage in facts.stages] if facts else []
            for name, facts in stages.items()}  # fmt: skip
    assert told == {"sft": ["sft"], "none": ["sft", "none"], "dpo": ["sft", "dpo"],
                    "cao": ["sft", "cao"], "late": ["sft", "dpo", "cao"]}  # fmt: skip
    pairs = done["pairs"]
    assert isinstance(pairs, PairsResult)
    assert pairs.artefact.manifest.counts.kept > 4
    assert all(each.reused for each in _run(load_pipeline(written), tmp_path).values())


@pytest.mark.slow
def test_a_changed_stage_runs_again_where_its_folder_is_gone(written: Path,
                                                             tmp_path: Path) -> None:  # fmt: skip
    _run(load_pipeline(written), tmp_path)
    changed = load_pipeline(written, ["stages.cao.lam=2"])
    with pytest.raises(ConfigError, match=r"cao[\s\S]*of another lam"):
        _run(changed, tmp_path)
    shutil.rmtree(tmp_path / "cao")
    done = _run(changed, tmp_path)
    assert [name for name, each in done.items() if not each.reused] == ["cao"]


@pytest.mark.slow
def test_a_killed_pipeline_goes_on(written: Path, tmp_path: Path) -> None:
    code = ("import sys; from pathlib import Path; from whyguard.core.progress import Progress; "
            "from whyguard.train.pipeline import load_pipeline, run_pipeline; "
            "[None for _ in run_pipeline(load_pipeline(Path(sys.argv[1])), Path(sys.argv[2]), "
            "Progress.silent())]")  # fmt: skip
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    child = subprocess.Popen([sys.executable, "-c", code, str(written), str(tmp_path / "out")],
                             env=environment, stderr=subprocess.DEVNULL)  # fmt: skip
    until = time.monotonic() + 120
    while not (tmp_path / "out" / "sft" / "stage.json").is_file() and time.monotonic() < until:
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    done = _run(load_pipeline(written), tmp_path / "out")
    whole = _run(load_pipeline(written), tmp_path / "whole")
    assert done["sft"].reused
    for name in ("dpo", "cao", "late"):
        one, other = (found / name / "model" / "model.safetensors"
                      for found in (tmp_path / "out", tmp_path / "whole"))  # fmt: skip
        assert one.read_bytes() == other.read_bytes()
    assert not whole["sft"].reused


def test_plan_of_a_pipeline(written: Path) -> None:
    checked = load_pipeline(written, ["stages.cao.lam=2", "common.seed=9"])
    found = {stage.id: stage for stage in checked.stages}
    cao, pairs = found["cao"].config, found["pairs"].config
    assert isinstance(cao, CaoStage)
    assert isinstance(pairs, PairsConfig)
    assert (cao.lam, cao.seed, cao.languages) == (2, 9, ("eng_Latn", "ast_Latn"))
    assert pairs.languages == ("ast_Latn",)
    assert (found["sft"].after, found["pairs"].after, found["late"].after) == (None, "sft", "dpo")
    assert (found["cao"].pairs, found["sft"].pairs) == ("pairs", None)


@pytest.mark.parametrize(
    ("settings", "match"),
    [(["stages.sft.epohcs=1"], r"stages\.sft\.epohcs[\s\S]*'epochs'"),
     (["stages.coa.lam=1"], r"stages\.coa[\s\S]*'cao'"),
     (["common.sede=1"], r"common\.sede[\s\S]*'seed'"),
     (["stages.late.after=pairs"], r"training stage before[\s\S]*'pairs'"),
     (["stages.pairs.stage=sft"], r"stages\.pairs\.samples"),
     (["stages.base.stage=sft"], "which tables and folders use"),
     (["evaluate.mode=no_think"], r"evaluate\.mode[\s\S]*'modes'"),
     (["modell=x"], "unknown key 'modell'")],
)  # fmt: skip
def test_errors_come_before_anything_runs(written: Path, settings: list[str], match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        load_pipeline(written, settings)


def test_languages_of_the_evaluation_are_checked(written: Path, tmp_path: Path) -> None:
    path = tmp_path / "pipeline.yaml"
    path.write_text(written.read_text("utf-8") + "evaluate: {languages: [ast_Latn, xyz_Latn]}\n")
    with pytest.raises(UnknownLanguageError, match=r"evaluate\.languages\.1[\s\S]*xyz_Latn"):
        load_pipeline(path)


def test_alignment_needs_pairs(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text("pipeline: 1\nmodel: path:x\ndata: y\nstages:\n  cao: {}\n", "utf-8")
    with pytest.raises(ConfigError, match=r"p\.yaml:5: stages\.cao[\s\S]*a stage 'pairs'"):
        load_pipeline(path)
    with pytest.raises(MissingFileError, match=r"nothing\.yaml"):
        load_pipeline(tmp_path / "nothing.yaml")


def test_the_starter_recipe_is_checked() -> None:
    found = load_pipeline(ROOT / "recipes" / "train_pipeline.yaml")
    assert [stage.id for stage in found.stages] == ["sft", "grpo", "pairs", "none", "dpo", "cao"]


@pytest.mark.slow
def test_models_are_measured_before_and_after(written: Path, tmp_path: Path) -> None:
    rows = [row | {"split": "dev" if row["group_id"].endswith("6") else "test"}
            if row["group_id"].endswith(("6", "7")) else row for row in with_english()]  # fmt: skip
    data = stored(tmp_path / "data", Example, frame(Example, rows))
    path, out = tmp_path / "pipeline.yaml", tmp_path / "out"
    path.write_text(written.read_text("utf-8") + "evaluate: {modes: [no_think], draws: 20}\n")
    pipeline = load_pipeline(path, [f"data={data}"])
    _run(pipeline, out)
    board = evaluate_pipeline(pipeline, out, Progress.silent())
    assert board is not None
    names = ["base", "sft", "none", "dpo", "cao", "late"]
    assert board.scores["arm"].unique(maintain_order=True).to_list() == names
    changed = {"sft - base", "none - sft", "dpo - sft", "cao - sft", "late - dpo"}
    assert set(board.differences["arm"]) == changed
    assert (out / "evaluation" / "board.md").read_text("utf-8") == board.page
    facts = read_guard(out / "cao" / "model")
    assert facts is not None
    assert {score.name for score in facts.scores} >= {"auroc", "recall_at_fpr5"}
    # scores on cards are no part of what a stage is: everything is reused
    assert all(each.reused for each in _run(pipeline, out).values())
    assert evaluate_pipeline(load_pipeline(written), tmp_path, Progress.silent()) is None


@pytest.mark.parametrize(("stages", "message"), [
    ("  sft: {}\n  late: {stage: sft, trl: {neftune: 1}}\n", "neftune_noise_alpha"),
    ("  sft: {}\n  late: {stage: sft, trl: {adam_beta1: x}}\n", r"trl\.adam_beta1"),
    ("  sft: {}\n  late: {stage: grpo, trl: {epsilon: x}}\n", r"trl\.epsilon"),
])  # fmt: skip
def test_what_the_last_stage_passes_to_trl_costs_no_training(
    stages: str, message: str, tmp_path: Path
) -> None:
    pipeline = load_pipeline(written_pipeline(tmp_path, stages))
    with pytest.raises(ConfigError, match=message):
        _run(pipeline, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(ConfigError, match=message):
        forecast_pipeline(pipeline)


def test_another_arm_than_that_of_the_guard_before_is_found_at_once(tmp_path: Path) -> None:
    stages = "  sft: {}\n  pairs: {}\n  none: {}\n  dpo: {arm: explained}\n"
    with pytest.raises(ConfigError, match=r"dpo: arm(?s:.*)'refusal_only', as the guard it starts"):
        load_pipeline(written_pipeline(tmp_path, stages))


@pytest.mark.parametrize("name", ["../evil", "ledger", "evaluation", ".hidden", "a b"])
def test_ids_are_names_of_folders_below_out(name: str, tmp_path: Path) -> None:
    path = written_pipeline(tmp_path, f'  "{name}": {{stage: sft}}\n')
    with pytest.raises(ConfigError, match="an id of your own"):
        load_pipeline(path)


@pytest.mark.parametrize(("old", "new", "message"), [
    ("  sft: {", '  sft: {model: "path:x", ', r"sft\.model(?s:.*)use after"),
    ("common: {", 'common: {model: "path:x", ', "write model beside"),
    ("common: {", "common: {data: x, ", "write data beside"),
    ("common: {", "common: {stage: sft, ", "take it out"),
    ("  pairs: {", "  pairs: {languages: [ast_Lat], ", "did you mean 'ast_Latn'"),
])  # fmt: skip
def test_keys_that_would_be_ignored_are_refused(
    old: str, new: str, message: str, tmp_path: Path
) -> None:
    path = written_pipeline(tmp_path, "  sft: {max_steps: 1}\n  pairs: {samples: 2}\n")
    path.write_text(path.read_text("utf-8").replace(old, new), "utf-8")
    with pytest.raises((ConfigError, UnknownLanguageError), match=message):
        load_pipeline(path)
