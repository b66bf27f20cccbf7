"""train/rewards/formulas.py: the stated zero and peak points, bounds, and the looped phrase."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whyguard.train.rewards.formulas import (
    diversity_reward,
    length_reward,
    published_length_reward,
    published_repetition_rate,
    repetition_rate,
)

LOOP = "the request is fine " * 100


@pytest.mark.parametrize(("tokens", "reward"), [(0, 0.0), (128, math.sqrt(0.5)), (256, 1.0),
                                                (512, 0.0), (768, -1.0)])  # fmt: skip
def test_points_of_the_length_reward_1e_12(tokens: int, reward: float) -> None:
    assert length_reward(tokens, 256) == pytest.approx(reward, abs=1e-12)
    assert published_length_reward(tokens, 256) == pytest.approx(reward, abs=1e-12)


def test_published_length_pays_in_full_for_five_times_the_best() -> None:
    assert published_length_reward(5 * 256, 256) == pytest.approx(1.0)
    assert length_reward(5 * 256, 256) == pytest.approx(-1.0)


@given(st.integers(1, 10**9), st.integers(1, 4096))
def test_length_reward_is_bounded_and_negative_past_twice_the_best(tokens: int, best: int) -> None:
    reward = length_reward(tokens, best)
    assert -1.0 <= reward <= length_reward(best, best) == pytest.approx(1.0)
    assert (reward > 1e-12) == (tokens < 2 * best)
    assert (reward < -1e-12) == (tokens > 2 * best)


@pytest.mark.parametrize(("rate", "reward"), [(0.0, 1.0), (0.5, 1 - math.sqrt(0.5)), (1.0, 0.0)])
def test_points_of_the_diversity_reward_1e_12(rate: float, reward: float) -> None:
    assert diversity_reward(rate) == pytest.approx(reward, abs=1e-12)


@given(st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_diversity_reward_is_bounded_and_falls(one: float, other: float) -> None:
    assert 0.0 <= diversity_reward(max(one, other)) <= diversity_reward(min(one, other)) <= 1.0


def test_a_looped_phrase_is_near_0_and_the_published_rate_pays_it_in_full() -> None:
    rate = repetition_rate(LOOP)
    assert rate is not None and diversity_reward(rate) < 0.001
    assert diversity_reward(published_repetition_rate(LOOP)) > 0.98


def test_nothing_is_diverse_under_three_words_and_the_published_rate_pays_it_in_full() -> None:
    assert [repetition_rate(text) for text in ("", "two words")] == [None, None]
    assert diversity_reward(published_repetition_rate("")) == pytest.approx(1.0)


def test_rates_of_texts_without_repeats_are_0() -> None:
    text = "it asks for a way to hurt somebody and so it breaks a rule"
    assert (repetition_rate(text), published_repetition_rate(text)) == (0.0, 0.0)


@given(st.text(), st.integers(1, 50))
def test_rates_are_bounded_for_any_text(text: str, times: int) -> None:
    looped = f"{text} " * times
    rate = repetition_rate(looped)
    assert rate is None or 0.0 <= rate <= 1.0
    assert 0.0 <= published_repetition_rate(looped) <= 1.0


@given(st.lists(st.sampled_from("abcdefghij"), min_size=3, max_size=8), st.integers(100, 200))
def test_any_phrase_looped_100_times_is_near_0(words: list[str], times: int) -> None:
    rate = repetition_rate(" ".join(words * times))
    assert rate is not None and diversity_reward(rate) < 0.01
