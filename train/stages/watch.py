"""Watches a training: progress with tokens a second, checkpoints at evaluations, early stop.

Imported only by code that trains: it needs transformers.
"""

import time
from collections.abc import Sequence
from typing import Any

from transformers import TrainerCallback

from whyguard.core.progress import Task

DEV_LOSS = "eval_loss"


def is_exhausted(history: Sequence[dict[str, Any]], patience: int | None) -> bool:
    """Whether the last `patience` evaluations of a log brought nothing better than before."""
    losses = [entry[DEV_LOSS] for entry in history if DEV_LOSS in entry]
    if patience is None or not losses:
        return False
    return len(losses) - 1 - losses.index(min(losses)) >= patience


class StepWatch(TrainerCallback):  # type: ignore[misc]  # transformers is not followed by mypy
    """One bar a training; what a checkpoint has to keep is read from the log, nothing else."""

    def __init__(self, trainer: Any, task: Task, patience: int | None = None) -> None:
        self._trainer, self._task, self._patience = trainer, task, patience
        self._seen, self._seconds, self._tokens = 0, 0.0, 0
        self._started = time.monotonic()

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Go on counting where a checkpoint stopped."""
        logged = [entry for entry in state.log_history if "num_tokens" in entry]
        self._tokens = self._trainer.tokens_seen = int(logged[-1]["num_tokens"]) if logged else 0
        self._seconds = float(logged[-1]["seconds"]) if logged else 0.0
        self._started = time.monotonic()
        self._advance(state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """One step done; the last one is evaluated where any is."""
        spent = time.monotonic() - self._started
        self._trainer.note("seconds", round(self._seconds + spent, 3))
        read = self._trainer.tokens_seen - self._tokens
        self._advance(state.global_step, read / max(spent, 1e-9))
        if state.global_step >= state.max_steps and self._trainer.work.dev is not None:
            control.should_evaluate = True

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Keep what was evaluated, so that the best can be gone back to; stop when it is time."""
        control.should_save = True
        if is_exhausted(state.log_history, self._patience):
            control.should_training_stop = True

    def _advance(self, step: int, rate: float = 0.0) -> None:
        self._task.advance(step - self._seen, f"{rate:,.0f} tokens/s" if rate else "")
        self._seen = step
