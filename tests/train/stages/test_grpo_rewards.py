"""train/stages/grpo_rewards.py and train/sampling.py: scoring once, counting, cutting, writing."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.tiny import save_gemma, save_llama

from whyguard.core.values import Arm
from whyguard.generation.teachers.shaping import load_tokenizer
from whyguard.train.rewards.config import PAPER_UNIT, RewardConfig, RewardWeights
from whyguard.train.rewards.score import Measures, Rewards
from whyguard.train.sampling import JUDGE_CLOSE, cut_after, ids_up_to
from whyguard.train.stages.grpo_rewards import (
    Scorer,
    comparable,
    completion_rows,
    counted,
    read_completions,
    total_groups,
    write_completions,
)

TEXTS = ["<judge>harmful</judge>", "<judge>unharmful</judge>", "nothing", "<judge>harmful</judge>"]
COLUMNS: dict[str, Any] = {"label": ["harmful"] * 4, "language": ["ast_Latn"] * 4,
                           "categories": [["S2"]] * 4, "example_id": ["one"] * 4}  # fmt: skip


class Counting:
    """Counts how often thinking is measured: once a completion that has any."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, text: str) -> int:
        self.calls += 1
        return len(text.split())


def test_a_batch_is_scored_once_and_handed_out_by_name() -> None:
    counting = Counting()
    means: dict[str, float] = {}
    scorer = Scorer(PAPER_UNIT, Measures(counting), Arm.REFUSAL_ONLY)
    thought = [f"<think>one two three</think><violations>S2</violations>{text}" for text in TEXTS]
    functions = scorer.functions()
    assert [function.__name__ for function in functions] == list(scorer.weights)
    found = {function.__name__: function(completions=thought, log_metric=means.__setitem__,
                                         **COLUMNS) for function in functions}  # fmt: skip
    assert counting.calls == 4
    assert found["accuracy"] == [1.0, 0.0, 0.0, 1.0]
    assert found["format_judge"] == [1.0, 1.0, 0.0, 1.0]
    assert (means["raw/accuracy"], means["weighted/accuracy"]) == (0.5, 0.5)
    assert "raw/category" not in means, "it does not apply"
    again = functions[0](completions=thought[::-1], log_metric=means.__setitem__, **COLUMNS)
    assert again == [1.0, 0.0, 0.0, 1.0] and counting.calls == 8
    before = scorer.last
    assert [row.raw["accuracy"] for row in scorer.scored(thought, COLUMNS).rewards] == [1, 0, 0, 1]
    assert scorer.last is before, "dev completions leave the batch's alone"


def rewards(*pairs: tuple[float, float]) -> list[Rewards]:
    return [Rewards({"accuracy": a, "length": b}, {}, a + b) for a, b in pairs]


def test_what_makes_a_group_equal_depends_on_how_it_is_summed() -> None:
    found = rewards((1.0, 0.0), (0.0, 1.0))
    weights = {"accuracy": 1.0, "length": 1.0}
    summed = comparable(found, weights, "sum_then_normalize")
    assert counted(summed, 2)["groups/equal"] == 1
    apart = comparable(found, weights, "normalize_then_sum")
    assert counted(apart, 2)["groups/equal"] == 0
    alike = comparable(rewards((1.0, 0.5), (1.0, 0.5)), weights, "normalize_then_sum")
    assert counted(alike, 2) == {"groups/total": 1, "groups/equal": 1, "groups/unscored": 0,
                                 "groups/idle_share": 1.0}  # fmt: skip
    unscored = comparable([Rewards({"accuracy": None, "length": None}, {}, None)] * 2, weights,
                          "normalize_then_sum")  # fmt: skip
    assert counted(unscored, 2)["groups/unscored"] == 1


def test_totals_come_from_the_log() -> None:
    history = [{"step": 1, **counted([1.0, 1.0, 0.0, 1.0], 2)}, {"step": 2, "loss": 0.0},
               {"step": 3, **counted([None, 1.0, 0.0, 1.0], 2)}]  # fmt: skip
    assert total_groups(history) == (4, 1, 1)


def test_completions_are_written_whole_and_read_back(tmp_path: Path) -> None:
    config = RewardConfig(weights=RewardWeights(accuracy=0.5))
    scorer = Scorer(config, Measures(len), Arm.REFUSAL_ONLY)
    scorer.functions()[0](completions=TEXTS, log_metric=lambda *_: None, **COLUMNS)
    assert scorer.last is not None
    for step in (2, 1, 2):
        table = completion_rows(scorer.last, step, [5, 6, 7, 8], [0.1, 0.2, 0.3, 0.4], 2)
        write_completions(tmp_path, table, step, 0)
    found = read_completions(tmp_path)
    assert found["step"].to_list() == [1] * 4 + [2] * 4
    assert found["weighted_accuracy"].to_list() == [0.5, 0.0, 0.0, 0.5] * 2
    assert found["sample"].to_list() == [0, 1, 0, 1] * 2
    assert found.columns[:7] == ["step", "example_id", "language", "label", "sample", "completion",
                                 "tokens"]  # fmt: skip
    assert not list(tmp_path.glob(".*"))


@pytest.fixture(scope="session", params=[save_llama, save_gemma])
def tokenizer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Byte-level BPE, and BPE with byte fallback."""
    return load_tokenizer(request.param(tmp_path_factory.mktemp("tokenizer")))


@settings(deadline=None, max_examples=60)
@given(st.text(max_size=20), st.text(max_size=20))
def test_tokens_are_cut_where_the_tag_is_complete(tokenizer: Any, before: str, after: str) -> None:
    ids = tokenizer(before + JUDGE_CLOSE + after, add_special_tokens=False).input_ids
    cut = ids_up_to(tokenizer, ids)
    assert ids[: len(cut)] == cut
    assert JUDGE_CLOSE in tokenizer.decode(cut)
    assert JUDGE_CLOSE not in tokenizer.decode(cut[:-1])
    without = tokenizer(before, add_special_tokens=False).input_ids
    if JUDGE_CLOSE not in before:
        assert ids_up_to(tokenizer, without) == without


def test_text_is_cut_behind_the_first_tag() -> None:
    assert cut_after("a</judge>b</judge>") == "a</judge>"
    assert cut_after("none") == "none"
