"""Watches a training: progress with tokens a second, checkpoints at evaluations, early stop.

Imported only by code that trains: it needs transformers.
"""

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from transformers import TrainerCallback

from whyguard.core.progress import Task

_DEV = "eval_"
"""What the names of dev figures begin with in a log."""


class Measure(NamedTuple):
    """The dev figure that evaluations are compared by."""

    name: str
    """As it is logged."""
    higher: bool
    """Whether more is better."""


DEV_LOSS = Measure("eval_loss", higher=False)
DEV_REWARD = Measure("eval_reward", higher=True)


def is_exhausted(history: Sequence[Mapping[str, Any]], patience: int | None,
                 measure: Measure = DEV_LOSS) -> bool:  # fmt: skip
    """Whether the last `patience` evaluations of a log brought nothing better than before.

    NaN is never better, as in transformers' choice of the best step.
    """
    sign = 1 if measure.higher else -1
    values = [-math.inf if math.isnan(entry[measure.name]) else sign * entry[measure.name]
              for entry in history if measure.name in entry]  # fmt: skip
    if patience is None or not values:
        return False
    return len(values) - 1 - values.index(max(values)) >= patience


def dev_figures(history: Sequence[Mapping[str, Any]], step: int | None) -> dict[str, float]:
    """What was logged on dev rows at a step, as `dev_NAME`; nothing where none was evaluated."""
    found: dict[str, float] = {}
    for entry in history:
        if entry["step"] == step:
            found |= {f"dev_{name.removeprefix(_DEV)}": float(value)
                      for name, value in sorted(entry.items())
                      if name.startswith(_DEV)}  # fmt: skip
    return found


class BestWatch(TrainerCallback):  # type: ignore[misc]  # transformers is not followed by mypy
    """Keeps what was evaluated, so that the best can be gone back to; stops when it is time."""

    def __init__(self, patience: int | None, measure: Measure = DEV_LOSS) -> None:
        self._patience, self._measure = patience, measure

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """What a checkpoint has to keep is read from the log, nothing else."""
        control.should_save = True
        if is_exhausted(state.log_history, self._patience, self._measure):
            control.should_training_stop = True


class StepWatch(TrainerCallback):  # type: ignore[misc]  # transformers is not followed by mypy
    """One bar a training, with tokens a second."""

    def __init__(self, trainer: Any, task: Task) -> None:
        self._trainer, self._task = trainer, task
        self._seen, self._seconds, self._tokens = 0, 0.0, 0
        self._started = time.monotonic()

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Go on counting where a checkpoint stopped."""
        logged = [entry for entry in state.log_history if "num_tokens" in entry]
        self._tokens = self._trainer.tokens_seen = int(logged[-1]["num_tokens"]) if logged else 0
        self._seconds = float(logged[-1]["seconds"]) if logged else 0.0
        self._started = time.monotonic()
        self._task.skip(state.global_step)
        self._seen = state.global_step

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """One step done; the last one is evaluated where any is."""
        spent = time.monotonic() - self._started
        self._trainer.note("seconds", round(self._seconds + spent, 3))
        read = self._trainer.tokens_seen - self._tokens
        self._advance(state.global_step, read / max(spent, 1e-9))
        if state.global_step >= state.max_steps and self._trainer.work.dev is not None:
            control.should_evaluate = True

    def _advance(self, step: int, rate: float = 0.0) -> None:
        self._task.advance(step - self._seen, f"{rate:,.0f} tokens/s" if rate else "")
        self._seen = step
