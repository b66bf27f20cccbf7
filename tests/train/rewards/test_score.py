"""train/rewards/score.py: each reward where it applies, presets, and hostile completions."""

import math
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whyguard.core.errors import ConfigError
from whyguard.core.values import Arm, Label
from whyguard.generation.grammar import TAGS
from whyguard.train.rewards.config import (
    PAPER_UNIT,
    PAPER_WEIGHTED,
    REWARDS,
    RewardConfig,
    RewardWeights,
    preset,
)
from whyguard.train.rewards.score import Case, Measures, Rewards, language_share, score

ENGLISH, SPANISH = "eng_Latn", "spa_Latn"
THINK = "it asks for a way to take what is not theirs"
RIGHT = f"<think>{THINK}</think><violations>S2</violations><judge>harmful</judge>"
REASON = "<explanation>Esto pide ayuda para un robo y rompe la regla S2.</explanation>"
HARMFUL = Case(Label.HARMFUL, SPANISH, ("S2",))
EXPLAINED = Case(Label.HARMFUL, SPANISH, ("S2",), Arm.EXPLAINED)
EVERY = RewardConfig(weights=RewardWeights(**dict.fromkeys(REWARDS, 1.0)))
FORMAT = ("format_think", "format_violations", "format_judge", "format_order")
OF_EXPLANATIONS = ("explanation_language", "category", "agreement")


def spoken(text: str, language: str) -> bool | None:
    """A stand-in rule for a language: Spanish has `rompe`, English has none; short = unknown."""
    if len(text.split()) < 3:
        return None
    return ("rompe" in text) == (language == SPANISH)


MEASURES = Measures(lambda text: len(text.split()), spoken)


def _score(completion: str, case: Case = HARMFUL, config: RewardConfig = PAPER_UNIT) -> Rewards:
    return score(completion, case, config, MEASURES)


def test_a_right_completion_gets_every_point() -> None:
    config = preset("paper_unit", best_length=len(THINK.split()))
    found = _score(RIGHT, config=config)
    assert [found.raw[name] for name in REWARDS[:8]] == pytest.approx([1.0] * 8)
    assert found.total == pytest.approx(7.0)
    assert _score(RIGHT, config=PAPER_WEIGHTED.model_copy(update={
        "best_length": len(THINK.split())})).total == pytest.approx(1.2)  # fmt: skip


def test_raw_and_weighted_are_both_there() -> None:
    found = _score(RIGHT, config=PAPER_WEIGHTED)
    length = math.sin(math.pi * len(THINK.split()) / 512)
    assert tuple(found.raw) == tuple(found.weighted) == REWARDS
    assert found.raw["length"] == pytest.approx(length)
    assert found.weighted["length"] == pytest.approx(0.2 * length)
    weighted = [found.weighted[name] for name in ("accuracy", "diversity", *FORMAT)]
    assert weighted == pytest.approx([0.4, 0.2, 0.1, 0.1, 0.1, 0.1])
    assert found.raw["thinking_language"] == 1.0 and found.weighted["thinking_language"] == 0.0
    assert found.total == pytest.approx(0.4 + 0.2 * length + 0.2 + 0.4)


@pytest.mark.parametrize(("verdict", "label", "accuracy"), [
    ("harmful", Label.HARMFUL, 1.0), ("unharmful", Label.UNHARMFUL, 1.0),
    ("harmful", Label.UNHARMFUL, 0.0), ("?", Label.HARMFUL, 0.0),
    ("harmful", None, None)])  # fmt: skip
def test_accuracy(verdict: str, label: Label | None, accuracy: float | None) -> None:
    found = _score(RIGHT.replace("harmful", verdict), Case(label))
    assert found.raw["accuracy"] == accuracy


def test_a_thinking_that_is_never_closed_is_paid_nothing() -> None:
    found = _score(RIGHT.replace("</think>", ""))
    assert [found.raw[name] for name in ("format_think", "format_order", "length", "diversity",
                                         "thinking_language")] == [0.0] * 5  # fmt: skip
    assert (found.raw["accuracy"], found.raw["format_judge"]) == (1.0, 1.0)


def test_a_looped_thinking_is_near_0() -> None:
    looped = RIGHT.replace(THINK, "it breaks a rule " * 100)
    found = _score(looped, config=preset("paper_unit", best_length=100)).raw
    assert found["diversity"] is not None and 0.0 <= found["diversity"] < 0.001
    assert found["length"] == pytest.approx(-1.0)
    assert _score(RIGHT.replace(THINK, "two words")).raw["diversity"] == 0.0


def test_the_prompt_may_open_the_thinking() -> None:
    inside = RIGHT.removeprefix("<think>")
    prefilled = preset("paper_unit", prefilled_think=True)
    assert _score(inside, config=prefilled) == _score(RIGHT)
    assert _score(RIGHT, config=prefilled).raw["format_think"] == 0.0


def test_without_an_explanation_in_the_arm_its_rewards_do_not_apply() -> None:
    assert [_score(RIGHT + REASON, config=EVERY).raw[name] for name in OF_EXPLANATIONS] == [
        None
    ] * 3


@pytest.mark.parametrize(("reason", "language", "category", "agreement"), [
    (REASON, 1.0, 1.0, 1.0),
    ("", 0.0, 0.0, 0.0),
    (REASON.replace("</", "<"), 0.0, 0.0, 0.0),
    (REASON.replace("rompe", "viola"), 0.0, 1.0, 1.0),
    (REASON.replace("S2", "S9"), 1.0, 0.0, 1.0),
    (REASON.replace("S2", "dos"), 1.0, None, 1.0),
    (REASON.replace("y rompe", "y es inofensivo, no rompe"), 1.0, 1.0, 0.0),
    ("<explanation>no rompe</explanation>", None, None, 1.0)])  # fmt: skip
def test_rewards_of_explanations(reason: str, language: float | None, category: float | None,
                                 agreement: float | None) -> None:  # fmt: skip
    found = _score(RIGHT + reason, EXPLAINED, EVERY).raw
    assert [found[name] for name in OF_EXPLANATIONS] == [language, category, agreement]


def test_agreement_cannot_be_told_in_a_language_without_phrases() -> None:
    case = Case(Label.HARMFUL, "arb_Arab", ("S2",), Arm.EXPLAINED)
    benign = RIGHT.replace("S2", "None").replace("harmful", "unharmful")
    for completion in (RIGHT + REASON, RIGHT, benign, benign + REASON, ""):
        assert _score(completion, case, EVERY).raw["agreement"] is None


def test_a_benign_prompt_wants_no_explanation() -> None:
    case = Case(Label.UNHARMFUL, SPANISH, (), Arm.EXPLAINED)
    benign = RIGHT.replace("S2", "None").replace("harmful", "unharmful")
    assert [_score(benign, case, EVERY).raw[name] for name in OF_EXPLANATIONS] == [None, None, 1.0]
    assert _score(benign + REASON, case, EVERY).raw["agreement"] == 0.0
    assert _score(benign.replace("unharmful", "?"), case, EVERY).raw["agreement"] == 0.0


def test_without_a_classifier_rewards_of_language_do_not_apply() -> None:
    found = score(RIGHT + REASON, EXPLAINED, EVERY, Measures(len)).raw
    assert (found["thinking_language"], found["explanation_language"]) == (None, None)


def test_nothing_that_counts_applies() -> None:
    config = RewardConfig(weights=RewardWeights(accuracy=1.0))
    assert _score(RIGHT, Case(None), config).total is None
    assert _score(RIGHT, HARMFUL, config).total == 1.0


def test_share_of_thinking_in_its_language() -> None:
    english, spanish = "one two three " * 4, "esto rompe algo " * 4
    assert language_share(english + spanish, ENGLISH, spoken) == 0.5
    assert language_share(english * 2 + spanish + "y más", ENGLISH, spoken) == pytest.approx(2 / 3)
    assert language_share("two words", ENGLISH, spoken) is None


def test_rewards_load_neither_torch_nor_a_classifier() -> None:
    names = "'torch', 'transformers', 'trl', 'fasttext'"
    code = f"import sys, whyguard.train.rewards.score; print({{{names}}} & {{*sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_presets_by_name() -> None:
    assert preset("paper_weighted") == PAPER_WEIGHTED
    assert preset("paper_unit", best_length=8).best_length == 8
    with pytest.raises(ConfigError, match="did you mean 'paper_unit'"):
        preset("paper_unti")
    with pytest.raises(ValueError, match="best_lenght"):
        preset("paper_unit", best_lenght=8)
    with pytest.raises(ValueError, match="greater than or equal to 0"):
        RewardWeights(accuracy=-1.0)


_pieces = st.sampled_from([*sorted(TAGS), "harmful", "unharmful", "S2", "None", "\0", "\u202e",
                           "שלום", "<", " it breaks a rule ", "< think >"])  # fmt: skip
_cases = st.builds(Case, st.none() | st.sampled_from(Label),
                   st.sampled_from([ENGLISH, SPANISH, "heb_Hebr", "tha_Thai"]),
                   st.sampled_from([(), ("S2",), ("S1", "S9")]), st.sampled_from(Arm))  # fmt: skip


@settings(deadline=None)
@given(st.lists(_pieces | st.text(max_size=8), max_size=25), _cases, st.booleans())
def test_any_completion_is_rewarded_within_bounds(pieces: list[str], case: Case,
                                                  prefilled: bool) -> None:  # fmt: skip
    config = EVERY.model_copy(update={"prefilled_think": prefilled})
    found = _score("".join(pieces), case, config)
    for name, value in found.raw.items():
        assert value is None or (-1.0 if name == "length" else 0.0) <= value <= 1.0
    assert found.total is not None
    assert found.total == pytest.approx(sum(v for v in found.weighted.values() if v is not None))


@pytest.mark.parametrize("filler", ["<think>", "<", "< ", "a ", "\0", "rompe שלום \u202e"])
def test_a_huge_completion_is_rewarded(filler: str) -> None:
    huge = filler * (600_000 // len(filler))
    found = _score(huge + RIGHT + huge, EXPLAINED, EVERY)
    assert found.raw["format_order"] == 0.0
    if filler != "<think>":
        assert found.raw["accuracy"] == 1.0
