"""How the weight of CAO's anchor goes over the steps of a training; needs no torch."""

import math
from enum import StrEnum

from whyguard.core.errors import ConfigError, fail


class LamSchedule(StrEnum):
    """How the anchor's weight changes over the steps of a training."""

    CONSTANT = "constant"
    """The same at every step."""
    LINEAR = "linear"
    """From 0 up to lam over the warm-up, then constant."""
    COSINE = "cosine"
    """From lam down to 0 along half a cosine."""


def lam_at(schedule: LamSchedule, lam: float, step: int, total: int, warmup: float = 0.1) -> float:
    """The anchor's weight at a step.

    Args:
        schedule: its form.
        lam: the full weight.
        step: optimiser steps done, 0..total.
        total: optimiser steps of the training.
        warmup: share of the steps over which `linear` rises; 0 = at once.

    Raises:
        ConfigError: step is not in 0..total, total is under 1 or warmup is not in 0..1.
    """
    if total < 1 or not 0 <= step <= total or not 0.0 <= warmup <= 1.0:
        fail(ConfigError, where="schedule of lam",
             expected="0 <= step <= total, total >= 1 and a warm-up in 0..1",
             found=f"step {step} of {total}, warm-up {warmup}",
             do="count optimiser steps")  # fmt: skip
    match schedule:
        case LamSchedule.CONSTANT:
            return lam
        case LamSchedule.LINEAR:
            return lam * min(1.0, step / (warmup * total)) if warmup else lam
        case LamSchedule.COSINE:
            return lam * (1.0 + math.cos(math.pi * step / total)) / 2.0
