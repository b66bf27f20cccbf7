"""train/board.py, board_table.py: every model on held-out rows, stored by content."""

import shutil
from pathlib import Path
from typing import NamedTuple

import polars as pl
import pytest
import torch
from tests.train.conftest import example_rows
from tests.train.judging import judging_llama
from tests.train.stages.making import stored

from whyguard.core.errors import ConfigError, DataError
from whyguard.core.progress import Progress
from whyguard.core.schemas import Example
from whyguard.core.tables import frame
from whyguard.generation.guard.prompts import prompt_template
from whyguard.generation.guard.scoring import harmful_probabilities
from whyguard.generation.models import load_model
from whyguard.train.board import BoardConfig, Contestant, score_board
from whyguard.train.board_table import card_scores, make_board, write_board
from whyguard.train.config import SftStage
from whyguard.train.folder import label_strings, read_guard, write_guard
from whyguard.train.stages.data import StageData, read_examples
from whyguard.train.stages.run import run_stage

torch.set_num_threads(1)
SILENT = Progress.silent()


class Made(NamedTuple):
    """A base, a guard trained from it, a copy of that, and their data."""

    base: str
    guard: Path
    copy: Path
    data: StageData

    def contestants(self) -> list[Contestant]:
        return [Contestant("base", self.base, None),
                Contestant("sft", f"path:{self.guard}", "base"),
                Contestant("none", f"path:{self.copy}", "sft")]  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Trained once."""
    folder = tmp_path_factory.mktemp("board")
    base = f"path:{judging_llama(folder / 'base')}"
    rows = [row | {"think": "the house is old"} for row in example_rows(12)]
    data = stored(folder / "data", Example, frame(Example, rows))
    sft = SftStage(model=base, data=str(data), arm="refusal_only", languages=("ast_Latn",),
                   reasoning="english_cot", max_steps=8, epochs=8, learning_rate=1e-2)  # fmt: skip
    guard = run_stage(sft, folder / "sft")
    copy = folder / "copy" / "model"
    copy.parent.mkdir()
    shutil.copytree(guard.folder, copy)
    return Made(base, guard.folder, copy, read_examples(data))


def _scores(made: Made, folder: Path, **changes: object) -> pl.DataFrame:
    config = BoardConfig.model_validate({"max_new_tokens": 24, **changes})
    return score_board(made.contestants(), made.data, config, folder, SILENT)


def test_scores_are_those_of_the_scoring_functions(made: Made, tmp_path: Path) -> None:
    table = _scores(made, tmp_path, modes=["no_think"])
    own = table.filter((pl.col("arm") == "sft") & (pl.col("language") == "glg_Latn"))
    rows = {row["example_id"]: row for row in made.data.rows.to_dicts()}
    loaded = load_model(f"path:{made.guard}", device="cpu")
    with SILENT.task("scores", own.height) as task:
        plain = harmful_probabilities(loaded, prompt_template("short-v1"),
                                      [rows[i]["text"] for i in own["example_id"]],
                                      label_strings(), 1, task)  # fmt: skip
    assert own["score"].to_list() == pytest.approx(plain.tolist(), abs=1e-5)
    splits = table.group_by("language").agg(pl.col("split").cast(pl.String).unique().sort())
    told = dict(splits.sort("language").iter_rows())
    assert told == {"ast_Latn": ["dev", "test"], "glg_Latn": ["test"]}


def test_a_base_is_asked_in_the_words_of_its_guards(made: Made, tmp_path: Path) -> None:
    facts = read_guard(made.guard)
    assert facts is not None
    copy = tmp_path / "model"
    shutil.copytree(made.guard, copy)
    write_guard(copy, facts.model_copy(update={"prompt_template": "request-v1"}))
    pair = [Contestant("base", made.base, None), Contestant("other", f"path:{copy}", "base")]
    config = BoardConfig(modes=["no_think"])
    table = score_board(pair, made.data, config, tmp_path / "chunks", SILENT)
    own = table.filter((pl.col("arm") == "base") & (pl.col("language") == "glg_Latn"))
    texts = dict(made.data.rows.select("example_id", "text").iter_rows())
    with SILENT.task("scores", own.height) as task:
        plain = harmful_probabilities(load_model(made.base, device="cpu"),
                                      prompt_template("request-v1"),
                                      [texts[i] for i in own["example_id"]], label_strings(), 1,
                                      task)  # fmt: skip
    assert own["score"].to_list() == pytest.approx(plain.tolist(), abs=1e-5)


def test_a_model_that_does_not_reason_is_not_asked_to(made: Made, tmp_path: Path) -> None:
    table = _scores(made, tmp_path)
    modes = table.group_by("arm").agg(pl.col("mode").unique().sort())
    thinks = ["no_think", "think_greedy"]
    assert dict(modes.iter_rows()) == {"base": ["no_think"], "sft": thinks, "none": thinks}


def test_copies_cost_nothing_and_a_rerun_scores_the_rest(made: Made, tmp_path: Path) -> None:
    first = _scores(made, tmp_path)
    chunks = sorted(tmp_path.glob("*.parquet"))
    assert len(chunks) == 2 + 4  # two languages: base in one mode, sft in two, none as sft
    copied = first.filter(pl.col("arm") == "none").drop("model", "arm")
    assert copied.equals(first.filter(pl.col("arm") == "sft").drop("model", "arm"))
    written = {path: path.stat().st_mtime_ns for path in chunks}
    chunks[0].unlink()
    assert _scores(made, tmp_path).equals(first)
    changed = [path for path in chunks if path.stat().st_mtime_ns != written[path]]
    assert changed == chunks[:1]


def test_a_model_that_saw_the_test_rows_is_refused(made: Made, tmp_path: Path) -> None:
    moved = made.data.rows.with_columns(split=pl.when(pl.col("split") == "train").then(
        pl.lit("test")).otherwise(pl.col("split").cast(pl.String)).cast(
            made.data.rows.schema["split"]))  # fmt: skip
    other = made._replace(data=made.data._replace(rows=moved, sha256="moved"))
    with pytest.raises(DataError, match=r"board: sft[\s\S]*groups that it was trained on"):
        _scores(other, tmp_path)


def test_all_thresholds_rest_on_the_same_dev_rows(made: Made, tmp_path: Path) -> None:
    facts = read_guard(made.guard)
    assert facts is not None
    wider = tmp_path / "model"
    shutil.copytree(made.guard, wider)
    write_guard(wider, facts.model_copy(update={"languages": ("ast_Latn", "glg_Latn")}))
    two = [
        Contestant("sft", f"path:{made.guard}", None),
        Contestant("wide", f"path:{wider}", "sft"),
    ]
    table = score_board(two, made.data, BoardConfig(modes=["no_think"]), tmp_path / "c", SILENT)
    dev = table.filter(pl.col("split").cast(pl.String) == "dev")
    asked = {arm: set(rows["example_id"]) for (arm,), rows in dev.group_by("arm")}
    assert asked["sft"] == asked["wide"]
    assert set(dev["language"]) == {"ast_Latn", "glg_Latn"}


def test_thresholds_need_dev_rows(made: Made, tmp_path: Path) -> None:
    rows = made.data.rows.filter(pl.col("split") != "dev")
    with pytest.raises(ConfigError, match="dev rows in ast_Latn"):
        _scores(made._replace(data=made.data._replace(rows=rows)), tmp_path)
    with pytest.raises(ConfigError, match="test rows"):
        _scores(made, tmp_path, languages=["cat_Latn"])


def test_the_page_and_the_card_tell_language_and_mode(made: Made, tmp_path: Path) -> None:
    config = BoardConfig(max_new_tokens=24, draws=50, explain=True)
    scores = score_board(made.contestants(), made.data, config, tmp_path / "chunks", SILENT)
    board = make_board(scores, made.contestants(), ["ast_Latn"], made.data, config)
    write_board(board, tmp_path)
    page = (tmp_path / "board.md").read_text("utf-8")
    for text in ("## Mode `no_think`", "## Mode `think_greedy`", "| AUROC | Asturian | Galician |",
                 "| sft - base | Asturian |", "| none - sft | all | no change",
                 "rationales in the right language", "came to a verdict"):  # fmt: skip
        assert text in page
    copied = board.differences.filter(pl.col("arm") == "none - sft")
    told = copied.filter(pl.col("language") == "related")
    assert told["value"].abs().max() == 0.0
    kept = {(s.name, s.mode) for s in card_scores(board.metrics, "sft")}
    assert {("auroc", "no_think"), ("auroc", "think_greedy"), ("closed", "think_greedy")} <= kept
    facts = read_guard(made.copy)
    assert facts is not None
    folder = tmp_path / "card"
    folder.mkdir()
    write_guard(
        folder, facts.model_copy(update={"scores": tuple(card_scores(board.metrics, "sft"))})
    )
    assert "| auroc | Galician (glg_Latn) | think_greedy |" in (folder / "README.md").read_text()


def test_metrics_by_hand(made: Made, tmp_path: Path) -> None:
    config = BoardConfig(max_new_tokens=24, draws=20, modes=["no_think"])
    scores = score_board(made.contestants(), made.data, config, tmp_path, SILENT)
    board = make_board(scores, made.contestants(), ["ast_Latn"], made.data, config)
    own = scores.filter((pl.col("arm") == "sft") & (pl.col("split") == "test")
                        & (pl.col("language") == "glg_Latn"))  # fmt: skip
    pairs = [(h, u) for h in own.filter(pl.col("label") == "harmful")["score"]
             for u in own.filter(pl.col("label") == "unharmful")["score"]]  # fmt: skip
    by_hand = sum((h > u) + 0.5 * (h == u) for h, u in pairs) / len(pairs)
    named = board.metrics.filter((pl.col("name") == "auroc") & (pl.col("split") == "test"))
    found = named.filter((pl.col("arm") == "sft") & (pl.col("language") == "glg_Latn"))
    assert found["value"].to_list() == pytest.approx([by_hand])
