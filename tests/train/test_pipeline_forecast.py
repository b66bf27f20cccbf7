"""train/pipeline_forecast.py: steps and bounds of a pipeline, against the pipeline run for real."""

from pathlib import Path

import pytest
import torch
from tests.train.pair_making import written_pipeline
from tests.train.stages.making import stored_pairs

from whyguard.core.errors import DataError, MissingFileError
from whyguard.core.progress import Progress
from whyguard.train.pipeline import load_pipeline, run_pipeline
from whyguard.train.pipeline_forecast import PairsForecast, StageForecast, forecast_pipeline
from whyguard.train.stages.forecast import Forecast
from whyguard.train.stages.pairs_run import PairsResult

torch.set_num_threads(1)
FAMILIES = 16
"""Of `with_english`: two a group, each with an English prompt and one in two languages."""
STAGES = """\
  sft: {max_steps: 2}
  pairs: {samples: 4, temperature: 1.0, max_new_tokens: 24}
  none: {}
  dpo: {epochs: 1}
  cao: {epochs: 1}
"""


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pipeline on a tiny guard that judges at random."""
    return written_pipeline(tmp_path_factory.mktemp("pipeline"), STAGES)


def _found(path: Path, *settings: str) -> dict[str, StageForecast]:
    return {each.id: each for each in forecast_pipeline(load_pipeline(path, settings))}


def _changed(path: Path, folder: Path, old: str, new: str) -> Path:
    """The pipeline with another text in it."""
    changed = folder / "changed.yaml"
    changed.write_text(path.read_text("utf-8").replace(old, new), "utf-8")
    return changed


def _trained(found: dict[str, StageForecast], name: str) -> Forecast:
    known = found[name].found
    assert isinstance(known, Forecast)
    return known


def _pairs(found: dict[str, StageForecast]) -> PairsForecast:
    known = found["pairs"].found
    assert isinstance(known, PairsForecast)
    return known


@pytest.mark.slow
def test_a_run_stays_below_what_was_said_at_most(written: Path, tmp_path: Path) -> None:
    found = _found(written)
    done = dict(run_pipeline(load_pipeline(written), tmp_path, Progress.silent()))
    made = done["pairs"]
    assert isinstance(made, PairsResult)
    kept = made.artefact.manifest.counts.kept
    assert 4 < kept <= _pairs(found).pairs == FAMILIES
    for name, result in done.items():
        if isinstance(result, PairsResult):
            continue
        said, record = _trained(found, name), result.record
        if name in ("dpo", "cao"):
            assert 0 < record.steps <= said.steps
            assert record.tokens <= said.tokens
            assert "at most: 16 pairs, one a family and language of ast_Latn" in found[name].note
        else:
            assert (record.steps, record.tokens) == (said.steps, said.tokens)
            assert not found[name].note


def test_nothing_is_written_and_all_stages_are_said(written: Path) -> None:
    before = sorted(written.parent.rglob("*"))
    found = _found(written)
    assert list(found) == ["sft", "pairs", "none", "dpo", "cao"]
    assert sorted(written.parent.rglob("*")) == before
    assert _trained(found, "none").steps == 0
    memory = found["cao"].facts()["memory"]
    assert memory["total"] > memory["weights"] > 0
    assert _trained(found, "cao").tokens > _trained(found, "dpo").tokens  # the anchors


def test_pairs_count_calls_and_tokens_at_most(written: Path, tmp_path: Path) -> None:
    asked = _pairs(_found(written)).estimate
    assert asked.calls == 2 * FAMILIES * 4  # two prompts, four samples
    assert asked.completion_tokens == asked.calls * 24
    facts = _found(written)["pairs"].facts()
    assert (facts["completions"], facts["by_language"]) == (asked.calls, {"ast_Latn": FAMILIES})
    more = "pairs: {languages: [ast_Latn, glg_Latn], "
    both = _pairs(_found(_changed(written, tmp_path, "pairs: {", more)))
    assert (both.pairs, both.families) == (2 * FAMILIES, FAMILIES)
    assert both.estimate.calls == 3 * FAMILIES * 4  # languages share the English prompt


def test_a_cap_bounds_pairs_and_the_steps_on_them(written: Path) -> None:
    found = _found(written, "stages.pairs.cap=8", "stages.dpo.rows_a_step=4")
    assert _pairs(found).pairs == _trained(found, "dpo").rows == 8
    assert _trained(found, "dpo").steps == 2


def test_longer_completions_bound_more_tokens(written: Path) -> None:
    short, long = (_trained(_found(written, f"stages.pairs.max_new_tokens={count}"), "cao")
                   for count in (8, 32))  # fmt: skip
    assert long.tokens == short.tokens + 3 * FAMILIES * 24
    assert long.memory.total > short.memory.total
    cut = _trained(_found(written, "stages.cao.max_length=40"), "cao")
    assert cut.tokens <= cut.rows * 3 * 40


def test_pairs_that_are_there_are_read(written: Path, tmp_path: Path) -> None:
    pairs = stored_pairs(tmp_path / "pairs", 6)
    found = _found(written, f"stages.dpo.data={pairs}", "stages.dpo.rows_a_step=2")
    assert (_trained(found, "dpo").rows, _trained(found, "dpo").steps) == (6, 3)
    assert not found["dpo"].note


def test_grpo_prefills_the_pairs_behind_it(written: Path, tmp_path: Path) -> None:
    stage = "  grpo: {max_steps: 3, completion_length: 16}\n"
    path = _changed(written, tmp_path, "  pairs:", f"{stage}  pairs:")
    found, plain = _found(path), _found(written)
    assert _trained(found, "grpo").steps == 3
    assert found["grpo"].note == "at most: every completion as long as it may be"
    assert _trained(found, "dpo").tokens > _trained(plain, "dpo").tokens  # <think> in each prompt
    open_ = _found(path, "stages.pairs.prefill_think=false")
    assert _trained(open_, "dpo").tokens == _trained(plain, "dpo").tokens


def test_a_model_that_is_not_here_is_not_fetched(written: Path) -> None:
    found = _found(written, "model=pypi:no-such-model==1.0")
    assert all(each.found is None and "not known before" in each.note for each in found.values())
    assert found["sft"].facts() == {"note": found["sft"].note}


def test_errors_are_those_of_a_run(written: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="no-such-data"):
        _found(written, "data=no-such-data")
    with pytest.raises(DataError, match=r"stage sft[\s\S]*rows in por_Latn"):
        _found(_changed(written, tmp_path, "sft: {", "sft: {languages: [por_Latn], "))
    with pytest.raises(DataError, match=r"pipeline: pairs[\s\S]*max_length"):
        _found(written, "stages.dpo.max_length=16")
