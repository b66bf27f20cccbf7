"""SFT with reasoning: traces are taught, asked for, and said in the guard's folder."""

from pathlib import Path

import polars as pl
import pytest
import torch
from tests.train.conftest import example_rows
from tests.train.stages.making import stored

from whyguard.core.errors import DataError
from whyguard.core.progress import Progress
from whyguard.core.schemas import Example
from whyguard.core.tables import frame
from whyguard.generation.grammar import parse_guard
from whyguard.generation.guard.prompts import prompt_template
from whyguard.generation.models import load_model
from whyguard.generation.teachers.local_decoding import Row
from whyguard.train.config import SftStage
from whyguard.train.folder import read_guard
from whyguard.train.sampling import guard_prompt_ids
from whyguard.train.stages.run import StageResult, run_stage
from whyguard.train.thinking import Thinking, write_reasoning

torch.set_num_threads(1)
THINK = "the house is old and the river passes"


def _examples(folder: Path, without: tuple[str, ...] = (), think: str = THINK) -> Path:
    rows = [row | {"think": None if row["example_id"] in without else think}
            for row in example_rows()]  # fmt: skip
    return stored(folder, Example, frame(Example, rows))


def _config(model: Path, data: Path, **changes: object) -> SftStage:
    return SftStage.model_validate({"model": f"path:{model}", "data": str(data), "arm":
                                    "refusal_only", "reasoning": "english_cot", "max_steps": 2,
                                    **changes})  # fmt: skip


@pytest.mark.slow
def test_a_guard_learns_to_think_first(llama: Path, tmp_path: Path) -> None:
    config = _config(llama, _examples(tmp_path / "data"), max_steps=120, epochs=40,
                     learning_rate=1e-2, rows_a_step=8)  # fmt: skip
    result: StageResult = run_stage(config, tmp_path / "out", Progress.silent())
    loaded = load_model(f"path:{result.folder}", device="cpu")
    prompt = guard_prompt_ids(loaded.tokenizer, prompt_template("short-v1"),
                              example_rows()[0]["text"])  # fmt: skip
    writing = write_reasoning(loaded, [Row(prompt, 0)], Thinking())[0]
    text = loaded.tokenizer.decode(writing.ids[len(prompt) :])
    assert writing.closed
    assert parse_guard(f"{text}<judge>harmful</judge>").think == THINK
    facts = read_guard(result.folder)
    assert facts is not None
    assert (facts.reasoning, facts.prefill_think) == ("english_cot", False)


def test_a_row_without_a_trace_stops_the_stage_or_is_dropped(llama: Path, tmp_path: Path) -> None:
    data = _examples(tmp_path / "data", without=("made:00-h:ast_Latn",))
    with pytest.raises(DataError, match=r"made:00-h:ast_Latn[\s\S]*a trace in 'think'"):
        run_stage(_config(llama, data), tmp_path / "out")
    result = run_stage(_config(llama, data, missing="drop"), tmp_path / "out")
    drops = pl.read_parquet(result.out / "dropped.parquet")
    assert drops["rule"].to_list() == ["no_reasoning"]


def test_a_trace_with_a_tag_is_dropped(llama: Path, tmp_path: Path) -> None:
    data = _examples(tmp_path / "data", think="so </judge>")
    with pytest.raises(DataError, match="0 usable of 16 rows"):
        run_stage(_config(llama, data), tmp_path / "out")


def test_no_reasoning_is_as_before(llama: Path, tmp_path: Path) -> None:
    plain = run_stage(_config(llama, _examples(tmp_path / "data"), reasoning="none"),
                      tmp_path / "plain")  # fmt: skip
    bare = run_stage(_config(llama, stored(tmp_path / "bare", Example,
                                           frame(Example, example_rows())), reasoning="none"),
                     tmp_path / "out")  # fmt: skip
    first, second = (pl.read_parquet(each.out / "train_log.parquet")["loss"].to_list()
                     for each in (plain, bare))  # fmt: skip
    assert first == second
    facts = read_guard(plain.folder)
    assert facts is not None
    assert facts.reasoning == "none"
