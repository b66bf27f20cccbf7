"""train/lam.py: the anchor's weight over the steps."""

import math

import pytest

from whyguard.core.errors import ConfigError
from whyguard.train.lam import LamSchedule, lam_at


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [("constant", [2, 2, 2, 2, 2]), ("linear", [0, 1, 2, 2, 2]),
     ("cosine", [2, 1 + math.sqrt(0.5), 1, 1 - math.sqrt(0.5), 0])])  # fmt: skip
def test_schedules_of_lam(schedule: str, expected: list[float]) -> None:
    found = [lam_at(LamSchedule(schedule), 2.0, step, 8, warmup=0.5) for step in (0, 2, 4, 6, 8)]
    assert found == pytest.approx(expected)


def test_no_warm_up_is_constant() -> None:
    assert lam_at(LamSchedule.LINEAR, 2.0, 0, 8, warmup=0.0) == 2.0


@pytest.mark.parametrize(("step", "total", "warmup"), [(9, 8, 0.1), (-1, 8, 0.1), (0, 0, 0.1),
                                                       (0, 8, 1.1)])  # fmt: skip
def test_steps_of_schedules_are_checked(step: int, total: int, warmup: float) -> None:
    with pytest.raises(ConfigError, match="0 <= step <= total"):
        lam_at(LamSchedule.COSINE, 1.0, step, total, warmup)
