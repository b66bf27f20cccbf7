"""train/stages/watch.py: when a training is exhausted, which step is kept, what is read of it."""

import math
from typing import Any

import pytest
from transformers import TrainerControl, TrainerState

from whyguard.train.stages.watch import (
    DEV_LOSS,
    DEV_REWARD,
    BestWatch,
    Measure,
    dev_figures,
    is_exhausted,
)


def _history(measure: Measure, *values: float) -> list[dict[str, Any]]:
    steps = [({"step": step, "loss": 1.0}, {"step": step, measure.name: value})
             for step, value in enumerate(values, 1)]  # fmt: skip
    return [entry for step in steps for entry in step]


@pytest.mark.parametrize(("measure", "values"), [
    (DEV_LOSS, (3.0, 1.0, 2.0, 1.0)), (DEV_REWARD, (1.0, 3.0, 2.0, 3.0)),
    (DEV_REWARD, (1.0, 3.0, math.nan, 0.0)), (DEV_LOSS, (-1.0, -3.0, -2.0, math.nan)),
])  # fmt: skip
def test_patience_counts_evaluations_since_the_best(measure: Measure,
                                                    values: tuple[float, ...]) -> None:  # fmt: skip
    history = _history(measure, *values)
    assert is_exhausted(history, 2, measure)
    assert not is_exhausted(history, 3, measure)
    assert not is_exhausted(history, None, measure)
    assert not is_exhausted(history[:4], 1, measure), "the last one is the best"


def test_without_evaluations_nothing_is_exhausted() -> None:
    assert not is_exhausted([{"step": 1, "reward": 1.0}], 1, DEV_REWARD)
    assert not is_exhausted(_history(DEV_REWARD, 3.0, 2.0, 1.0), 1, DEV_LOSS)


@pytest.mark.parametrize(("values", "stops"), [((1.0, 3.0), False), ((3.0, 1.0), True)])
def test_every_evaluation_is_kept_and_the_right_one_stops(values: tuple[float, float],
                                                          stops: bool) -> None:  # fmt: skip
    state = TrainerState(log_history=_history(DEV_REWARD, *values))
    control = TrainerControl()
    BestWatch(1, DEV_REWARD).on_evaluate(None, state, control)
    assert (control.should_save, control.should_training_stop) == (True, stops)


def test_dev_figures_are_those_of_one_step() -> None:
    history = [{"step": 2, "reward": 0.1}, {"step": 2, "eval_reward": 1, "eval_accuracy": 0.5},
               {"step": 4, "eval_reward": 2.0}]  # fmt: skip
    assert dev_figures(history, 2) == {"dev_reward": 1.0, "dev_accuracy": 0.5}
    assert dev_figures(history, 4) == {"dev_reward": 2.0}
    assert dev_figures(history, None) == dev_figures(history, 3) == {}
