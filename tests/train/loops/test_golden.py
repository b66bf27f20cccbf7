"""20 steps of each stage equal what was recorded (see trajectories.py for how to record again)."""

import json
from typing import Any

import pytest
import torch
from tests.train.loops.trajectories import FOLDER, STAGES

torch.set_num_threads(1)


def _recorded(name: str) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text("utf-8"))
    return facts


@pytest.mark.parametrize("name", STAGES)
def test_20_steps_are_as_recorded_within_1e_3(name: str) -> None:
    facts = _recorded(name)
    made_on = f"recorded on torch {facts['torch']}, transformers {facts['transformers']}"
    found = [{"loss": step.loss, **step.metrics} for step in STAGES[name]()]
    assert len(found) == len(facts["steps"]) == 20
    for number, (step, wanted) in enumerate(zip(found, facts["steps"], strict=True)):
        assert step == pytest.approx(wanted, rel=1e-3, abs=1e-4), f"step {number}; {made_on}"


def test_there_is_nothing_else_in_the_folder() -> None:
    assert {path.stem for path in FOLDER.iterdir()} == set(STAGES)
