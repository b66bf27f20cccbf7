"""train/stages/inherit.py, and what guards say of themselves after stages that learn on pairs."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from tests.train.conftest import example_rows
from tests.train.stages.making import pair_rows, stored, stored_examples

from whyguard.core.errors import ConfigError, DataError
from whyguard.core.schemas import Example
from whyguard.core.tables import frame
from whyguard.train.config import CaoStage, NoneStage, SftStage
from whyguard.train.folder import GuardFacts, read_guard
from whyguard.train.pairs import PreferencePair
from whyguard.train.stages.run import StageResult, run_stage

torch.set_num_threads(1)


@pytest.fixture
def guard(llama: Path, tmp_path: Path) -> StageResult:
    """A guard of another template and arm than the defaults."""
    config = SftStage(model=f"path:{llama}", data=str(stored_examples(tmp_path / "data")),
                      arm="refusal_only", prompt="request-v1", max_steps=2)  # fmt: skip
    return run_stage(config, tmp_path / "sft")


def _pairs(folder: Path, template: str = "request-v1") -> Path:
    rows = [row | {"prompt_template": template,
                   "language": "glg_Latn" if number % 3 == 0 else "ast_Latn"}
            for number, row in enumerate(pair_rows())]  # fmt: skip
    return stored(folder, PreferencePair, frame(PreferencePair, rows))


def _facts(result: StageResult) -> GuardFacts:
    found = read_guard(result.folder)
    assert found is not None
    return found


def _stage(kind: Any, guard: StageResult, tmp_path: Path, **changes: Any) -> StageResult:
    config = kind.model_validate({"model": f"path:{guard.folder}",
                                  "data": str(_pairs(tmp_path / "pairs")), **changes})  # fmt: skip
    return run_stage(config, tmp_path / config.stage)


@pytest.mark.parametrize(("kind", "changes"), [(NoneStage, {}), (CaoStage, {"max_steps": 1})])
def test_arm_and_template_are_those_of_the_guard_before(kind: Any, changes: Any, guard: StageResult,
                                                        tmp_path: Path) -> None:  # fmt: skip
    facts = _facts(_stage(kind, guard, tmp_path, **changes))
    assert (facts.arm, facts.prompt_template) == ("refusal_only", "request-v1")


@pytest.mark.parametrize(("key", "value"), [("prompt", "short-v1"), ("arm", "explained")])
def test_another_arm_or_template_is_refused(key: str, value: str, guard: StageResult,
                                            tmp_path: Path) -> None:  # fmt: skip
    with pytest.raises(ConfigError, match=f"stage none: {key}[\\s\\S]*leave {key} out"):
        _stage(NoneStage, guard, tmp_path, **{key: value})
    assert _stage(NoneStage, guard, tmp_path / "same", prompt="request-v1").folder.is_dir()


def test_languages_are_those_of_the_rows_trained_on(llama: Path, tmp_path: Path) -> None:
    rows = [row | {"split": "test" if row["language"] == "glg_Latn" else row["split"]}
            for row in example_rows()]  # fmt: skip
    rows = [row | {"group_id": f"{row['group_id']}-{row['language']}"} for row in rows]
    data = stored(tmp_path / "data", Example, frame(Example, rows))
    done = run_stage(SftStage(model=f"path:{llama}", data=str(data), max_steps=1), tmp_path / "out")
    assert _facts(done).languages == ("ast_Latn",)


def test_pairs_of_other_languages_are_dropped(guard: StageResult, tmp_path: Path) -> None:
    done = _stage(CaoStage, guard, tmp_path, languages=["ast_Latn"], max_steps=1)
    drops = pl.read_parquet(done.out / "dropped.parquet")
    assert drops["rule"].to_list() == ["other_language"] * 4
    assert _facts(done).stages[-1].rows == 8
    with pytest.raises(DataError, match="correct languages"):
        run_stage(CaoStage(model=f"path:{guard.folder}", data=str(tmp_path / "pairs"),
                           languages=("cat_Latn",)), tmp_path / "none")  # fmt: skip
